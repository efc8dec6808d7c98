//! The secret that both machines share, and the proofs that are made with it.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use ring::hmac;

/// A shorter secret is a word.
const MIN: usize = 32;

/// A larger file is no secret.
const MAX: u64 = 4096;

/// A proof in hex.
pub const PROOF_LEN: usize = 64;

/// The shared secret.
#[derive(Clone)]
pub struct Key(hmac::Key);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

/// Which side makes a proof: one side's can never be taken for the other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who asks.
    Client,
    /// Who answers.
    Server,
}

impl Key {
    /// Reads the secret. The error reads well after the path.
    pub fn read(path: &Path) -> Result<Key, String> {
        let unreadable = |error: std::io::Error| format!("does not read: {error}");
        let meta = std::fs::metadata(path).map_err(unreadable)?;
        if !meta.is_file() {
            return Err("is not a regular file".into());
        }
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(unreadable)?;
        (file.take(MAX + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
        if bytes.len() as u64 > MAX {
            return Err(format!("has more than {MAX} bytes: that is no secret"));
        }
        Key::new(&bytes)
    }

    /// A key of these bytes, but for a line's end at their end: it may be there on one machine only.
    pub fn new(bytes: &[u8]) -> Result<Key, String> {
        let secret = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
        if bytes.len() < MIN {
            return Err(format!(
                "holds {} bytes, and a secret has at least {MIN}: write one with `head -c 32 /dev/urandom | base64`",
                bytes.len()
            ));
        }
        if secret.windows(2).all(|pair| pair[0] == pair[1]) {
            return Err("holds one byte over and over: that is no secret".into());
        }
        Ok(Key(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    /// Whether the other one holds the same secret.
    pub fn is(&self, other: &Key) -> bool {
        self.proves(Side::Client, "", &other.proof(Side::Client, ""))
    }

    /// The proof that `side` has seen `talk` and knows the secret.
    pub fn proof(&self, side: Side, talk: &str) -> String {
        let tag = hmac::sign(&self.0, &proven(side, talk));
        tag.as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Whether this is that proof. In the same time for every wrong one.
    pub fn proves(&self, side: Side, talk: &str, proof: &str) -> bool {
        let Some(tag) = unhex(proof) else {
            return false;
        };
        hmac::verify(&self.0, &proven(side, talk), &tag).is_ok()
    }
}

fn proven(side: Side, talk: &str) -> Vec<u8> {
    let side: &[u8] = match side {
        Side::Client => b"client\n",
        Side::Server => b"server\n",
    };
    [side, talk.as_bytes()].concat()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.len() == PROOF_LEN && text.bytes().all(|b| b.is_ascii_hexdigit());
    digits.then(|| {
        let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap_or_default();
        (0..text.len()).step_by(2).map(byte).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_one_sides_of_one_talk_with_one_key() {
        let key = Key::new(b"one secret of both, 32 bytes long").unwrap();
        let proof = key.proof(Side::Client, "talk");
        assert!(key.proves(Side::Client, "talk", &proof));
        assert!(!key.proves(Side::Server, "talk", &proof));
        assert!(!key.proves(Side::Client, "talks", &proof));
        assert!(
            !Key::new(b"another secret, 32 bytes long too")
                .unwrap()
                .proves(Side::Client, "talk", &proof)
        );
        for wrong in [
            "",
            "xyz",
            &"g".repeat(64),
            &proof[..62],
            &format!("{proof}00"),
        ] {
            assert!(!key.proves(Side::Client, "talk", wrong));
        }
    }

    #[test]
    fn what_is_no_secret_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        for (bytes, part) in [
            (vec![b'x'; 31], "31 bytes"),
            (vec![b'\n'; 64], "over and over"),
            (vec![0; 64], "over and over"),
            (vec![b'x'; 5000], "4096"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let why = Key::read(&path).unwrap_err();
            assert!(why.contains(part), "{why}");
        }
        assert!(Key::read(dir.path()).unwrap_err().contains("regular"));
        assert!(Key::read(Path::new("/nowhere")).is_err());
        let key = Key::new(b"the secret that nobody may see in a log").unwrap();
        assert!(!format!("{key:?}").contains("secret"));
    }

    #[test]
    fn a_line_end_is_no_part_of_the_secret() {
        let secret = "0123456789abcdef0123456789abcdef";
        let keys = ["", "\n", "\r\n"].map(|end| Key::new(format!("{secret}{end}").as_bytes()));
        let proofs = keys.map(|key| key.unwrap().proof(Side::Client, "talk"));
        assert_eq!(proofs[0], proofs[1]);
        assert_eq!(proofs[0], proofs[2]);
    }
}
