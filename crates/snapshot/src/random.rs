//! Random texts: nonces, and the tail of a name.

use std::sync::OnceLock;

use ring::rand::{SecureRandom, SystemRandom};

/// 32 hexadecimal digits.
pub fn nonce() -> String {
    static RANDOM: OnceLock<SystemRandom> = OnceLock::new();
    let mut bytes = [0; 16];
    RANDOM
        .get_or_init(SystemRandom::new)
        .fill(&mut bytes)
        .expect("the kernel gives random bytes");
    crate::hex(&bytes)
}

/// Eight hexadecimal digits.
pub fn text() -> String {
    nonce()[..8].to_string()
}
