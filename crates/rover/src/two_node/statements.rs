//! One small reader for both grammars: DRBD's statements end with `;`, keepalived's with the line.
//! Includes are followed. Tolerant: it wants to know what is set where, not whether the tool likes it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::host::Host;

/// More files than this are no configuration.
const MOST_FILES: usize = 200;

/// Blocks deeper than this are no configuration.
const MOST_DEPTH: usize = 16;

/// Whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `drbd.conf`
    Drbd,
    /// `keepalived.conf`
    Keepalived,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// The file, as the machine calls it.
    pub file: Rc<PathBuf>,
    /// The line, from 1; 0 is the file as a whole.
    pub line: usize,
}

/// One statement: its words, and what stands in its block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its words, unquoted.
    pub words: Vec<String>,
    /// Its block, if it has one.
    pub block: Vec<Statement>,
    /// Where it begins.
    pub at: At,
}

impl Statement {
    /// The first word.
    pub fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// The second word.
    pub fn value(&self) -> &str {
        self.words.get(1).map_or("", String::as_str)
    }

    /// The statements of its block with this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Statement> {
        self.block.iter().filter(move |s| s.name() == name)
    }

    /// The last one of its block with this name: it wins.
    pub fn last<'a>(&'a self, name: &'a str) -> Option<&'a Statement> {
        self.all(name).last()
    }
}

/// What could not be read, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// The file and line.
    pub at: At,
    /// Why.
    pub why: String,
}

/// Reads a file and all that it includes.
pub fn read(host: &Host, file: &Path, style: Style) -> (Vec<Statement>, Vec<Unread>) {
    let mut reader = Reader {
        host,
        style,
        files: 0,
        unread: Vec::new(),
    };
    let statements = reader.file(file, None, 0);
    (statements, reader.unread)
}

struct Reader<'a> {
    host: &'a Host,
    style: Style,
    files: usize,
    unread: Vec<Unread>,
}

impl Reader<'_> {
    fn file(&mut self, file: &Path, from: Option<&At>, depth: usize) -> Vec<Statement> {
        let shown = Rc::new(file.to_path_buf());
        let here = At {
            file: shown.clone(),
            line: 0,
        };
        self.files += 1;
        if self.files > MOST_FILES || depth > MOST_DEPTH {
            let at = from.unwrap_or(&here).clone();
            let why = "includes too much: is it including itself?".into();
            self.unread.push(Unread { at, why });
            return Vec::new();
        }
        let text = match self.host.read(file) {
            Ok(text) => text,
            Err(error) => {
                let at = from.unwrap_or(&here).clone();
                let why = format!("cannot read {}: {error}", file.display());
                self.unread.push(Unread { at, why });
                return Vec::new();
            }
        };
        let tokens = tokens(&text, self.style);
        let mut rest = tokens.as_slice();
        let statements = self.block(&mut rest, &shown, 0);
        self.included(statements, depth)
    }

    /// Statements up to the block's end.
    fn block(
        &mut self,
        rest: &mut &[(usize, Token)],
        file: &Rc<PathBuf>,
        depth: usize,
    ) -> Vec<Statement> {
        let mut statements: Vec<Statement> = Vec::new();
        let mut words = Vec::new();
        let mut begin = 0;
        let ended = |words: &mut Vec<String>, begin: usize| Statement {
            words: std::mem::take(words),
            block: Vec::new(),
            at: At {
                file: file.clone(),
                line: begin,
            },
        };
        while let Some(((line, token), tail)) = rest.split_first() {
            *rest = tail;
            match token {
                Token::Word(word) => {
                    if words.is_empty() {
                        begin = *line;
                    }
                    words.push(word.clone());
                }
                Token::End => {
                    if !words.is_empty() {
                        statements.push(ended(&mut words, begin));
                    }
                }
                Token::Open if depth >= MOST_DEPTH => {
                    let at = At {
                        file: file.clone(),
                        line: *line,
                    };
                    let why = "has blocks too deep to be a configuration".into();
                    self.unread.push(Unread { at, why });
                    *rest = &[];
                }
                Token::Open => {
                    if !words.is_empty() {
                        statements.push(ended(&mut words, begin));
                    }
                    // keepalived's brace may stand on the next line: it belongs to what came before.
                    let block = self.block(rest, file, depth + 1);
                    if let Some(owner) = statements.last_mut() {
                        owner.block.extend(block);
                    }
                }
                Token::Close => {
                    if !words.is_empty() {
                        statements.push(ended(&mut words, begin));
                    }
                    if depth > 0 {
                        return statements;
                    }
                    let at = At {
                        file: file.clone(),
                        line: *line,
                    };
                    let why = "has a } without its {".into();
                    self.unread.push(Unread { at, why });
                }
            }
        }
        if !words.is_empty() {
            statements.push(ended(&mut words, begin));
        }
        if depth > 0 {
            let line = begin.max(statements.last().map_or(1, |s| s.at.line));
            let at = At {
                file: file.clone(),
                line,
            };
            let why = "ends within a block: a } is missing".into();
            self.unread.push(Unread { at, why });
        }
        statements
    }

    /// Puts what is included in the place of the statement that includes it.
    fn included(&mut self, statements: Vec<Statement>, depth: usize) -> Vec<Statement> {
        let mut all = Vec::new();
        for mut statement in statements {
            let name = statement.name();
            let is_include = match self.style {
                Style::Drbd => name == "include",
                Style::Keepalived => {
                    let variants = ["", "r", "m", "w", "b", "a"];
                    (name.strip_prefix("include")).is_some_and(|rest| variants.contains(&rest))
                }
            };
            if !is_include {
                statement.block = self.included(std::mem::take(&mut statement.block), depth);
                all.push(statement);
                continue;
            }
            let folder = statement.at.file.parent().unwrap_or(Path::new("/"));
            let wanted = folder.join(statement.value());
            let files = self.host.matching(&wanted);
            if files.is_empty() && !statement.value().contains(['*', '?']) {
                let why = format!("includes {}, which is not there", wanted.display());
                self.unread.push(Unread {
                    at: statement.at.clone(),
                    why,
                });
            }
            for file in files {
                all.extend(self.file(&file, Some(&statement.at), depth + 1));
            }
        }
        all
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Open,
    Close,
    End,
}

/// The words of a text, each with its line.
fn tokens(text: &str, style: Style) -> Vec<(usize, Token)> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut word: Option<String> = None;
    let mut chars = text.chars().peekable();
    macro_rules! finish {
        () => {
            if let Some(word) = word.take() {
                tokens.push((line, Token::Word(word)));
            }
        };
    }
    while let Some(c) = chars.next() {
        match c {
            '\n' => {
                finish!();
                if style == Style::Keepalived {
                    tokens.push((line, Token::End));
                }
                line += 1;
            }
            '#' | '!' if c == '#' || (style == Style::Keepalived && word.is_none()) => {
                finish!();
                while chars.next_if(|c| *c != '\n').is_some() {}
            }
            '"' => {
                let begin = line;
                let mut quoted = word.take().unwrap_or_default();
                for c in chars.by_ref() {
                    match c {
                        '"' => break,
                        '\n' => line += 1,
                        _ => {}
                    }
                    quoted.push(c);
                }
                tokens.push((begin, Token::Word(quoted)));
            }
            '{' | '}' | ';' if c != ';' || style == Style::Drbd => {
                finish!();
                let token = match c {
                    '{' => Token::Open,
                    '}' => Token::Close,
                    _ => Token::End,
                };
                tokens.push((line, token));
            }
            c if c.is_whitespace() => finish!(),
            c => word.get_or_insert_default().push(c),
        }
    }
    finish!();
    tokens
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.file.display()),
            line => write!(f, "{}:{line}", self.file.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str, style: Style) -> (Vec<Statement>, Vec<Unread>) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("conf"), text).unwrap();
        read(&Host::at(dir.path()), Path::new("/conf"), style)
    }

    #[test]
    fn a_resource_is_read_with_its_lines() {
        let text = "# head\nresource etcd {\n net { protocol C; # why\n  fencing resource-only; }\n handlers { fence-peer \"/bin/x --y\"; }\n}\n";
        let (all, unread) = parse(text, Style::Drbd);
        assert_eq!(unread, []);
        let net = all[0].last("net").unwrap();
        assert_eq!(all[0].words, ["resource", "etcd"]);
        assert_eq!(net.last("fencing").unwrap().value(), "resource-only");
        assert_eq!(net.last("fencing").unwrap().at.line, 4);
        let handler = all[0].last("handlers").unwrap().last("fence-peer").unwrap();
        assert_eq!(handler.value(), "/bin/x --y");
    }

    #[test]
    fn keepalived_takes_a_brace_on_the_next_line_and_blocks_on_one() {
        let text = "global_defs\n{\n  router_id a ! said\n}\nvrrp_instance x {\n  virtual_ipaddress { 10.0.0.1/24 dev lan }\n  auth_pass a!b\n}\n";
        let (all, unread) = parse(text, Style::Keepalived);
        assert_eq!(unread, []);
        assert_eq!(all[0].last("router_id").unwrap().words, ["router_id", "a"]);
        let address = &all[1].last("virtual_ipaddress").unwrap().block[0];
        assert_eq!(address.words, ["10.0.0.1/24", "dev", "lan"]);
        assert_eq!(all[1].last("auth_pass").unwrap().value(), "a!b");
    }

    #[test]
    fn includes_are_followed_and_a_missing_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        put(
            "conf",
            "include \"d/*.res\";\ninclude \"gone.conf\";\ninclude \"conf\";\n",
        );
        put("d/a.res", "resource a {}\n");
        put("d/b.res", "resource b {}\n");
        put("d/b.bak", "resource c {}\n");
        let host = Host::at(dir.path());
        let (all, unread) = read(&host, Path::new("/conf"), Style::Drbd);
        let mut names: Vec<&str> = all.iter().map(Statement::value).collect();
        names.dedup();
        assert_eq!(names[..2], ["a", "b"]);
        assert!(!names.contains(&"c"));
        assert!(
            unread
                .iter()
                .any(|u| u.why.contains("gone.conf") && u.at.line == 2),
            "{unread:?}"
        );
        assert!(unread.iter().any(|u| u.why.contains("including itself")));
    }

    #[test]
    fn a_block_that_does_not_end_is_named() {
        let (_, unread) = parse("resource etcd {\n net { protocol C;\n", Style::Drbd);
        assert!(unread[0].why.contains("a } is missing"), "{unread:?}");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,300}", drbd: bool) {
            let style = if drbd { Style::Drbd } else { Style::Keepalived };
            parse(&text, style);
        }

        #[test]
        fn no_braces_make_it_panic(text in "[{};\"#!\n a]{0,200}", drbd: bool) {
            let style = if drbd { Style::Drbd } else { Style::Keepalived };
            parse(&text, style);
        }
    }
}
