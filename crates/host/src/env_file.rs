//! A file of variables, one `NAME=VALUE` a line, as systemd reads it. Pure.

use std::str::Chars;

/// Lines `NAME=VALUE`, as systemd reads them for `EnvironmentFile=` (systemd 254 and newer, `src/basic/env-file.c`).
///
/// A `#` or `;` begins a comment only where a line begins, and a `\` at the end of a line continues it. Quotes may
/// stand around a value or parts at its beginning. A name that is none is passed over; but `export A=1`, as a shell
/// has it, is `A=1` here, where systemd passes it over. Docker takes a value as it stands, quotes too.
pub fn variables(text: &str) -> impl Iterator<Item = (String, String)> {
    let mut rest = text.chars();
    std::iter::from_fn(move || {
        loop {
            let (name, value) = (name(&mut rest)?, value(&mut rest));
            let bare = match name.strip_prefix("export") {
                Some(after) if after.starts_with([' ', '\t']) => {
                    after.trim_start_matches([' ', '\t'])
                }
                Some(_) | None => &name,
            };
            if is_name(bare) {
                return Some((bare.into(), value));
            }
        }
    })
}

/// What stands before the next `=`; comments and lines without one are passed over.
fn name(rest: &mut Chars) -> Option<String> {
    let mut name = String::new();
    while let Some(c) = rest.next() {
        match c {
            '\n' | '\r' => name.clear(),
            ' ' | '\t' if name.is_empty() => {}
            '#' | ';' if name.is_empty() => {
                rest.find(|c| is_newline(*c));
            }
            '=' => return Some(name.trim_end_matches([' ', '\t']).into()),
            c => name.push(c),
        }
    }
    None
}

/// What stands behind a `=`, up to the end of its line.
fn value(rest: &mut Chars) -> String {
    let (mut value, mut bare) = (String::new(), false);
    // Space behind this is no part of it.
    let mut end = 0;
    while let Some(c) = rest.next() {
        match c {
            c if is_newline(c) => break,
            '\'' if !bare => value.extend(rest.take_while(|c| *c != '\'')),
            '"' if !bare => double_quoted(rest, &mut value),
            ' ' | '\t' if !bare => {}
            ' ' | '\t' => {
                value.push(c);
                continue;
            }
            '\\' => {
                bare = true;
                value.extend(rest.next().filter(|c| !is_newline(*c)));
            }
            c => {
                bare = true;
                value.push(c);
            }
        }
        end = value.len();
    }
    value.truncate(end);
    value
}

/// What stands between double quotes: a `\` is itself, but for what a shell would need it before.
fn double_quoted(rest: &mut Chars, value: &mut String) {
    while let Some(c) = rest.next() {
        match c {
            '"' => return,
            '\\' => match rest.next() {
                Some(c @ ('"' | '\\' | '`' | '$')) => value.push(c),
                Some('\n') | None => {}
                Some(c) => value.extend(['\\', c]),
            },
            c => value.push(c),
        }
    }
}

fn is_newline(c: char) -> bool {
    matches!(c, '\n' | '\r')
}

fn is_name(name: &str) -> bool {
    let is = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.starts_with(|c| is(c) && !c.is_ascii_digit()) && name.chars().all(is)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_file_is_read_as_systemd_reads_it() {
        for (text, expected) in [
            ("# a\nA=1\n B = two \n\nC\nD=e=f", "A:1 B:two D:e=f"),
            (
                "A=1s # no comment\n;B=2\n  # C=3\nD=4",
                "A:1s # no comment D:4",
            ),
            ("A=one\\\n  two\nB=1", "A:one  two B:1"),
            ("A=1\\\n\nB=2\\", "A:1 B:2"),
            ("# a comment ends with its line \\\nA=1", "A:1"),
            (
                "A=\"one two \" \nB='it\"s \\ $x'",
                "A:one two  B:it\"s \\ $x",
            ),
            ("A=\"a\\\"b\\$c\\d\\\ne\"\nB='1\n2'", "A:a\"b$c\\de B:1\n2"),
            ("A='one' \"two\" three\nB=x\"y\"", "A:onetwothree B:x\"y\""),
            ("A=a\\ \\\\b\\ \t\n", "A:a \\b "),
            ("export A=1\nexport\t B='2' \n=2\n3=4\nC=\n", "A:1 B:2 C:"),
            ("exportA=1\nexport=2\nexport A B=3\n", "exportA:1 export:2"),
            ("A=1\r\nB=2\r\n", "A:1 B:2"),
            ("A=\"never closed\nB=2", "A:never closed\nB=2"),
        ] {
            let all = variables(text).map(|(name, value)| format!("{name}:{value}"));
            assert_eq!(all.collect::<Vec<_>>().join(" "), expected, "{text:?}");
        }
    }
}
