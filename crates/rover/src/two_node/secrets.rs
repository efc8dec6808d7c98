//! Secrets: random where none is given. Never printed.

use std::fmt;
use std::io::Read;
use std::path::Path;

use ring::rand::{SecureRandom, SystemRandom};

use etcd_rejoin_host::error::{Context, Error};

/// A secret file larger than this is no secret.
const MAX_FILE: u64 = 4096;

/// 64 letters, none of which means anything to keepalived.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What only the two machines may know.
#[derive(Clone, PartialEq, Eq)]
pub struct Secrets {
    /// VRRP's password. It goes over the network in the clear: it guards against mistakes, not enemies.
    pub vrrp_password: String,
    /// What the entrypoints prove to each other.
    pub fence_key: String,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

/// So many random letters.
pub fn random(letters: usize) -> Result<String, Error> {
    let mut bytes = vec![0; letters];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Error::new("cannot get random bytes from the system"))?;
    let letter = |byte: u8| char::from(LETTERS[usize::from(byte & 63)]);
    Ok(bytes.into_iter().map(letter).collect())
}

/// A secret from a file, without the line's end.
pub fn from_file(path: &Path) -> Result<String, Error> {
    let shown = path.display();
    let file = std::fs::File::open(path).context(|| format!("cannot open {shown}"))?;
    let mut bytes = Vec::new();
    (file.take(MAX_FILE + 1).read_to_end(&mut bytes)).context(|| format!("cannot read {shown}"))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Error::new(format!(
            "{shown} is larger than {MAX_FILE} bytes"
        )));
    }
    let text = String::from_utf8(bytes).map_err(|_| Error::new(format!("{shown} is no text")))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_string())
}

/// Why keepalived would not take this password as it is.
///
/// keepalived cuts at 8 characters, and `!`, `#`, quotes and blanks have a meaning in its file.
pub fn password_mistake(password: &str) -> Option<&'static str> {
    let odd = |c: char| !c.is_ascii_graphic() || "!#\"'\\{}$~@".contains(c);
    match password.len() {
        0 => Some("is empty"),
        1..=8 if password.contains(odd) => {
            Some("has a character that means something to keepalived")
        }
        1..=8 => None,
        _ => Some("is longer than the 8 characters that VRRP has room for"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_random_secrets_differ_and_suit_keepalived() {
        let (one, two) = (random(8).unwrap(), random(8).unwrap());
        assert_ne!(one, two);
        assert_eq!(password_mistake(&one), None, "{one}");
        assert_eq!(random(64).unwrap().len(), 64);
    }

    #[test]
    fn a_password_that_keepalived_would_change_is_a_mistake() {
        for wrong in ["", "123456789", "a b", "a#b", "a\"b", "ä"] {
            assert!(password_mistake(wrong).is_some(), "{wrong:?}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let secrets = Secrets {
            vrrp_password: "hidden".into(),
            fence_key: "hidden".into(),
        };
        assert!(!format!("{secrets:?}").contains("hidden"));
    }
}
