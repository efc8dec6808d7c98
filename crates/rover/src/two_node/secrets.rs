//! Secrets: all of them come from one, which is random where none is given. Never printed.

use std::fmt;
use std::path::Path;

use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

use crate::fence::Key;
use etcd_rejoin_host::error::Error;

/// 64 letters, none of which means anything to keepalived or DRBD.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What only the machines may know.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// A new one.
    pub fn random() -> Result<Secret, Error> {
        let mut bytes = [0; 48];
        (SystemRandom::new().fill(&mut bytes))
            .map_err(|_| Error::new("cannot get random bytes from the system"))?;
        Ok(Secret(letters(&bytes, bytes.len())))
    }

    /// The one of an earlier call.
    pub fn from_file(path: &Path) -> Result<Secret, String> {
        // The same demands: it is as long, and is shown to nobody.
        Key::read(path)?;
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        Ok(Secret(text.trim_end_matches(['\n', '\r']).to_string()))
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// One that is made of it for this purpose. Who knows it knows neither this one nor the others.
    pub fn derived(&self, purpose: &str, length: usize) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes());
        letters(hmac::sign(&key, purpose.as_bytes()).as_ref(), length)
    }
}

/// So many of the bytes as letters.
fn letters(bytes: &[u8], length: usize) -> String {
    let letter = |byte: &u8| char::from(LETTERS[usize::from(byte & 63)]);
    bytes[..length].iter().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_random_secrets_differ_and_so_does_what_comes_from_one() {
        let (one, two) = (Secret::random().unwrap(), Secret::random().unwrap());
        assert_ne!(one.text(), two.text());
        let derived = ["a", "b"].map(|purpose| one.derived(purpose, 32));
        assert_ne!(derived[0], derived[1]);
        assert_ne!(derived[0], two.derived("a", 32));
        assert_eq!(derived[0], one.derived("a", 32));
    }

    #[test]
    fn secrets_are_not_printed() {
        let secret = Secret("hidden".into());
        assert!(!format!("{secret:?}").contains("hidden"));
    }
}
