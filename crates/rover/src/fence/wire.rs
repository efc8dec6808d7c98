//! What the two sides say to each other: four short lines, the last two with a proof.
//!
//! ```text
//! client: etcd-rejoin-fence 1 <machine> <nonce>
//! server: etcd-rejoin-fence 1 <machine> <nonce>
//! client: outdate <resource> <proof>
//! server: outdated <proof>
//! ```
//!
//! A proof is an HMAC-SHA256 over the side that makes it and over everything that was said before it.
//! Both nonces are in it, so nothing can be said again in another talk; the side is, so nothing can be
//! sent back to who said it; the resource and the request are, so no answer fits another question.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};

use super::Machine;
use super::key::{Key, Side};
use crate::drbd::is_resource;
use etcd_rejoin_host::text::one_line;

/// The first word of both, with the version of what follows.
const HELLO: &str = "etcd-rejoin-fence 1";

/// No line is longer.
const MAX_LINE: usize = 1024;

/// What is told in words is not longer.
const MAX_WORDS: usize = 400;

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is recorded that the disk here is outdated.
    Outdated,
    /// Primary here: it refuses.
    Primary,
    /// It refuses for now: it asks the same, and goes first.
    Busy(String),
    /// It could not be done, and why.
    Failed(String),
}

/// What is asked: record that your disk of this resource is outdated.
fn request(resource: &str) -> String {
    format!("outdate {resource}")
}

/// The resource that is asked about.
fn requested(line: &str) -> Option<String> {
    let (word, resource) = line.split_once(' ')?;
    (word == "outdate" && is_resource(resource)).then(|| resource.to_string())
}

impl Answer {
    fn line(&self) -> String {
        let told = |word: &str, words: &str| format!("{word} {}", one_line(words, MAX_WORDS));
        match self {
            Answer::Outdated => "outdated".into(),
            Answer::Primary => "primary".into(),
            Answer::Busy(why) => told("busy", why),
            Answer::Failed(why) => told("failed", why),
        }
    }

    fn parse(line: &str) -> Option<Answer> {
        match line.split_once(' ') {
            None if line == "outdated" => Some(Answer::Outdated),
            None if line == "primary" => Some(Answer::Primary),
            Some(("busy", why)) => Some(Answer::Busy(why.into())),
            Some(("failed", why)) => Some(Answer::Failed(why.into())),
            None | Some(_) => None,
        }
    }
}

/// One talk over one connection, which ends at its deadline whatever the other side does.
pub struct Talk {
    stream: TcpStream,
    deadline: Instant,
    /// What came behind the line that was read.
    ahead: Vec<u8>,
    /// Everything that was said on both sides, without proofs.
    said: String,
}

impl Talk {
    pub fn new(stream: TcpStream, deadline: Instant) -> Talk {
        // Four short lines back and forth; without it each waits for the other's acknowledgement.
        let _ = stream.set_nodelay(true);
        Talk {
            stream,
            deadline,
            ahead: Vec::new(),
            said: String::new(),
        }
    }

    /// Gives the talk more time, or less.
    pub fn until(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Whether the other side has closed: it waits for no answer any more.
    pub fn is_closed(&self) -> bool {
        let looked = self.stream.set_nonblocking(true).and_then(|()| {
            let peeked = self.stream.peek(&mut [0]);
            self.stream.set_nonblocking(false)?;
            peeked
        });
        match looked {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        }
    }

    /// Says who we are.
    pub fn say_hello(&mut self, machine: &Machine) -> Result<(), String> {
        let mut nonce = [0; 32];
        (SystemRandom::new().fill(&mut nonce)).map_err(|_| "no random numbers".to_string())?;
        let nonce: String = nonce.iter().map(|byte| format!("{byte:02x}")).collect();
        let line = format!("{HELLO} {} {nonce}", machine.0);
        self.say(&line, "")
    }

    /// Hears who the other side is.
    pub fn hear_hello(&mut self) -> Result<Machine, String> {
        let line = self.hear()?;
        let rest = line
            .strip_prefix(HELLO)
            .and_then(|rest| rest.strip_prefix(' '));
        let parts = rest.and_then(|rest| rest.split_once(' '));
        match parts {
            Some((machine, nonce)) if !machine.is_empty() && nonce.len() == 64 => {
                let machine = Machine(machine.into());
                self.said += &line;
                self.said.push('\n');
                Ok(machine)
            }
            Some(_) | None => Err("it does not speak as a rover does".into()),
        }
    }

    pub fn ask(&mut self, key: &Key, resource: &str) -> Result<(), String> {
        self.say_proven(key, Side::Client, &request(resource))
    }

    /// The resource that is to be outdated.
    pub fn hear_request(&mut self, key: &Key) -> Result<String, String> {
        let line = self.hear_proven(key, Side::Client)?;
        requested(&line).ok_or_else(|| format!("{line:?} is no request"))
    }

    pub fn answer(&mut self, key: &Key, answer: &Answer) -> Result<(), String> {
        self.say_proven(key, Side::Server, &answer.line())
    }

    pub fn hear_answer(&mut self, key: &Key) -> Result<Answer, String> {
        let line = self.hear_proven(key, Side::Server)?;
        Answer::parse(&line).ok_or_else(|| format!("{line:?} is no answer"))
    }

    fn say_proven(&mut self, key: &Key, side: Side, line: &str) -> Result<(), String> {
        let proof = key.proof(side, &format!("{}{line}\n", self.said));
        self.say(line, &format!(" {proof}"))
    }

    fn hear_proven(&mut self, key: &Key, side: Side) -> Result<String, String> {
        let all = self.hear()?;
        let (line, proof) = all.rsplit_once(' ').unwrap_or((&all, ""));
        let talk = format!("{}{line}\n", self.said);
        match key.proves(side, &talk, proof) {
            true => {
                self.said = talk;
                Ok(line.into())
            }
            false => Err(
                "its proof is wrong: the secret is another one, or somebody came in between".into(),
            ),
        }
    }

    fn left(&self) -> Result<Duration, String> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        match left.is_zero() {
            true => Err("no answer in time".into()),
            false => Ok(left),
        }
    }

    fn say(&mut self, line: &str, proof: &str) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("cannot write to it: {error}");
        (self.stream.set_write_timeout(Some(self.left()?))).map_err(failed)?;
        (self.stream.write_all(format!("{line}{proof}\n").as_bytes())).map_err(failed)?;
        self.said += line;
        self.said.push('\n');
        Ok(())
    }

    /// One line. Whoever sends it byte by byte has no more time than the talk has.
    fn hear(&mut self) -> Result<String, String> {
        let mut line = std::mem::take(&mut self.ahead);
        let mut buffer = [0; 256];
        loop {
            if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
                self.ahead = line.split_off(end + 1);
                line.pop();
                return String::from_utf8(line).map_err(|_| "it speaks no text".into());
            }
            if line.len() > MAX_LINE {
                return Err("its line has no end".into());
            }
            let failed = |error: std::io::Error| format!("cannot read from it: {error}");
            (self.stream.set_read_timeout(Some(self.left()?))).map_err(failed)?;
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err("it closed the connection: is its secret the same?".into()),
                Ok(n) => line.extend(&buffer[..n]),
                Err(error) => match error.kind() {
                    // The loop looks at the clock.
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                    _ => return Err(failed(error)),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn requests_and_answers_read_back() {
        for resource in ["etcd", "a.b-c_d+e"] {
            assert_eq!(requested(&request(resource)).as_deref(), Some(resource));
        }
        let words = || "some words".to_string();
        for answer in [
            Answer::Outdated,
            Answer::Primary,
            Answer::Busy(words()),
            Answer::Failed(words()),
        ] {
            assert_eq!(Answer::parse(&answer.line()), Some(answer));
        }
        for line in [
            "outdate",
            "outdate ",
            "outdate a b",
            "outdate -x",
            "promote etcd",
            "",
        ] {
            assert_eq!(requested(line), None, "{line}");
        }
    }

    #[test]
    fn the_longest_words_fit_a_line() {
        for text in [
            "x".repeat(9999),
            "\u{1F600}".repeat(9999),
            "a\n".repeat(9999),
        ] {
            let line = Answer::Failed(text).line();
            assert!(
                line.len() + 70 < MAX_LINE && !line.contains('\n'),
                "{}",
                line.len()
            );
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in ".*") {
            let _ = (requested(&line), Answer::parse(&line), one_line(&line, 7));
        }
    }
}
