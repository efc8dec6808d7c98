//! Reads a file of cases in words: what is seen, a line `----`, what is decided. A line has a verb and
//! words; several words for one verb, all leading to the same decision, make several variants: with
//! ` | ` between them, or on lines of their own that begin with `or`. `any VERB` stands for every choice
//! that the verb has.

/// What follows a comment: what is seen, in every variant, and what is to be decided.
pub struct Case<V> {
    /// Where it begins in the file.
    pub line: usize,
    pub comment: String,
    pub variants: Vec<V>,
    pub expected: String,
}

/// How the lines of a file are meant.
pub struct Meaning<V> {
    /// What the lines of a variant say; the number is the line where their case begins.
    pub variant: fn(usize, &[String]) -> V,
    /// All choices of a verb, with ` | ` between.
    pub any: fn(&str) -> &'static str,
}

/// One list for each line of a case: the choices there.
type Choices = Vec<Vec<String>>;

pub fn cases<V>(text: &str, meaning: &Meaning<V>) -> Vec<Case<V>> {
    let lines: Vec<(usize, &str)> = (text.lines().enumerate())
        .map(|(at, line)| (at + 1, line.trim()))
        .collect();
    (lines.split(|(_, line)| line.is_empty()))
        .filter(|block| block.iter().any(|(_, line)| *line == "----"))
        .map(|block| case(block, meaning))
        .collect()
}

fn case<V>(block: &[(usize, &str)], meaning: &Meaning<V>) -> Case<V> {
    let line = block[0].0;
    let mut comment = String::new();
    let mut choices: Choices = Vec::new();
    let mut expected = None;
    let mut below = false;
    for (at, text) in block {
        if let Some(words) = text.strip_prefix('#') {
            comment = format!("{comment} {}", words.trim()).trim().to_string();
        } else if *text == "----" {
            below = true;
        } else if below {
            assert!(expected.is_none(), "line {at}: a second decision");
            expected = Some(text.to_string());
        } else if let Some(words) = text.strip_prefix("or ") {
            let last = choices.last_mut().expect("`or` follows a line");
            let verb = last[0].split(' ').next().expect("a verb").to_string();
            last.push(format!("{verb} {}", words.trim()));
        } else {
            choices.push(on_a_line(text, meaning));
        }
    }
    assert!(!comment.is_empty(), "line {line}: what happened?");
    Case {
        line,
        comment,
        variants: (combinations(&choices).iter())
            .map(|lines| (meaning.variant)(line, lines))
            .collect(),
        expected: expected.unwrap_or_else(|| panic!("line {line}: no decision")),
    }
}

fn on_a_line<V>(text: &str, meaning: &Meaning<V>) -> Vec<String> {
    let (verb, words) = match text.split_once(' ') {
        Some(("any", verb)) => (verb, (meaning.any)(verb)),
        Some(both) => both,
        None => return vec![text.to_string()],
    };
    (words.split(" | "))
        .map(|words| format!("{verb} {}", words.trim()))
        .collect()
}

fn combinations(choices: &Choices) -> Choices {
    choices.iter().fold(vec![Vec::new()], |all, choice| {
        (all.iter())
            .flat_map(|lines| {
                choice.iter().map(|line| {
                    let mut lines = lines.clone();
                    lines.push(line.clone());
                    lines
                })
            })
            .collect()
    })
}

/// The cases that are decided otherwise than written, in words.
pub fn wrong<V: std::fmt::Debug>(cases: &[Case<V>], decide: impl Fn(&V) -> String) -> String {
    let mut wrong = String::new();
    for case in cases {
        for seen in &case.variants {
            let decided = decide(seen);
            if decided != case.expected {
                let (line, comment, meant) = (case.line, &case.comment, &case.expected);
                wrong += &format!(
                    "line {line}: {comment}\n  meant   {meant}\n  decided {decided}\n  on      {seen:?}\n"
                );
                break;
            }
        }
    }
    wrong
}
