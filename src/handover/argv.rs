//! An etcd as words of a command line (argv), for the next image of this program.
//!
//! The environment goes as its difference from the one that both images have: command lines can be
//! read by everybody, environments cannot.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::Etcd;

type Env = BTreeMap<OsString, OsString>;

impl Etcd {
    /// The words that [`Etcd::from_words`] reads in a process with the environment `own`.
    pub fn to_words(&self, own: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<OsString> {
        let own: Env = own.into_iter().collect();
        let wanted: Env = self.env.iter().cloned().collect();
        let gone = own.keys().filter(|name| !wanted.contains_key(*name));
        let mut changes: Vec<OsString> = gone.cloned().collect();
        for (name, value) in &wanted {
            if own.get(name) != Some(value) {
                changes.push([name, value].map(OsString::as_os_str).join(OsStr::new("=")));
            }
        }
        let mut words = vec![self.program.clone().into_os_string(), self.arg0.clone()];
        for list in [&self.args, &changes] {
            words.push(list.len().to_string().into());
            words.extend_from_slice(list);
        }
        words
    }

    /// Reads an etcd, and gives back the words behind it. `None` if that is none.
    pub fn from_words(
        words: &[OsString],
        own: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Option<(Etcd, &[OsString])> {
        let [program, arg0, words @ ..] = words else {
            return None;
        };
        let (args, words) = counted(words)?;
        let (changes, words) = counted(words)?;
        let mut env: Env = own.into_iter().collect();
        for change in changes {
            let bytes = change.as_bytes();
            // As std reads an environment: a name may begin with the sign.
            match bytes.iter().skip(1).position(|byte| *byte == b'=') {
                None => env.remove(change),
                Some(before) => {
                    let (name, value) = bytes.split_at(before + 1);
                    let owned = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
                    env.insert(owned(name), owned(&value[1..]))
                }
            };
        }
        let etcd = Etcd {
            program: program.into(),
            arg0: arg0.clone(),
            args: args.to_vec(),
            env: env.into_iter().collect(),
        };
        Some((etcd, words))
    }
}

/// A number, so many words, and the rest.
fn counted(words: &[OsString]) -> Option<(&[OsString], &[OsString])> {
    let (count, words) = words.split_first()?;
    words.split_at_checked(count.to_str()?.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        let pair = |(name, value): &(&str, &str)| (name.into(), value.into());
        pairs.iter().map(pair).collect()
    }

    fn etcd() -> Etcd {
        let odd = OsString::from_vec(b"--name=\xff\n".to_vec());
        Etcd {
            program: "/bin/etcd".into(),
            arg0: "etcd".into(),
            args: vec![odd, "".into(), "2".into()],
            env: env(&[("=A", "b=c"), ("EMPTY", ""), ("NEW", "="), ("PATH", "/bin")]),
        }
    }

    #[test]
    fn the_next_image_reads_the_same_etcd_and_what_the_user_wrote() {
        for own in [
            env(&[]),
            env(&[("PATH", "/bin"), ("REJOIN_PASSWORD", "secret")]),
            env(&[("=A", "b"), ("EMPTY", "no"), ("NEW", ""), ("PATH", "")]),
            etcd().env,
        ] {
            let mut words = etcd().to_words(own.clone());
            assert!(!words.iter().any(|word| word == "secret"));
            words.push("--written".into());
            let (read, written) = Etcd::from_words(&words, own).unwrap();
            assert_eq!(read, etcd());
            assert_eq!(written, ["--written"]);
        }
    }

    #[test]
    fn words_that_are_cut_off_are_no_etcd() {
        let words = etcd().to_words([]);
        for n in 0..words.len() {
            assert_eq!(Etcd::from_words(&words[..n], []), None);
        }
        let hostile = ["e", "e", "18446744073709551615"].map(OsString::from);
        assert_eq!(Etcd::from_words(&hostile, []), None);
    }
}
