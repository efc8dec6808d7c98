//! etcd's configuration file: read what we need, and write the private copy that states our decision.
//!
//! With a configuration file etcd ignores every other flag and variable, so the decision has to be
//! part of the file that etcd gets.

use std::path::Path;

use saphyr::{Yaml, YamlLoader};
use saphyr_parser::{Event, Parser};
use serde_json::{Map, Value};

use super::kinds::{Kind, SECTIONS, of_key, of_section_key};
use super::{scalar, values};
use crate::text::{read_text, shorten};

/// A configuration file larger than this is no configuration file.
const MAX_SIZE: u64 = 1 << 20;

/// etcd's own goes two deep.
const MAX_DEPTH: usize = 16;

/// Reads the file as a map. The error reads well after the path.
pub fn read(path: &Path) -> Result<Map<String, Value>, String> {
    let text = read_text(path, MAX_SIZE, "etcd configuration")?;
    let file = parse(&text).map_err(|why| format!("is not an etcd configuration: {why}"))?;
    check(&file).map_err(|why| format!("has what etcd does not take: {why}"))?;
    Ok(file)
}

/// Reads YAML (or JSON, which is YAML) as a map.
pub fn parse(text: &str) -> Result<Map<String, Value>, String> {
    // Aliases are not needed in etcd's configuration, and a few of them can stand for gigabytes; and
    // what is nested without end takes the loader a stack without end.
    let mut depth = 0;
    for event in Parser::new_from_iter(text.chars()) {
        match event.map_err(|e| e.to_string())? {
            (Event::Alias(_), _) => return Err("it uses aliases: write the values out".into()),
            (Event::SequenceStart(..) | Event::MappingStart(..), _) => depth += 1,
            (Event::SequenceEnd | Event::MappingEnd, _) => depth -= 1,
            _ => continue,
        }
        if depth > MAX_DEPTH {
            return Err("it is nested too deep".into());
        }
    }
    // The loader has its own idea of what a word stands for.
    let mut loader = YamlLoader::<Yaml>::default();
    loader.early_parse(false);
    // The last of them counts, as in etcd.
    loader.allow_duplicate_keys(true);
    let mut parser = Parser::new_from_iter(text.chars());
    parser.load(&mut loader, true).map_err(|e| e.to_string())?;
    if let Some(error) = loader.error() {
        return Err(error.to_string());
    }
    let documents = loader.into_documents();
    match documents.as_slice() {
        [] => Ok(Map::new()),
        [document] => match to_json(document, 0)? {
            Value::Object(map) => Ok(map),
            Value::Null => Ok(Map::new()),
            _ => Err("it is not a map of settings, such as `name: n1`".into()),
        },
        _ => Err("it holds several documents: keep one".into()),
    }
}

fn to_json(yaml: &Yaml, depth: usize) -> Result<Value, String> {
    if depth > MAX_DEPTH {
        return Err("it is nested too deep".into());
    }
    match yaml {
        Yaml::Representation(text, style, tag) => scalar::value(text, *style, tag.as_deref()),
        Yaml::Sequence(items) => (items.iter().map(|item| to_json(item, depth + 1)))
            .collect::<Result<_, _>>()
            .map(Value::Array),
        Yaml::Mapping(map) => {
            let mut object = Map::new();
            for (key, value) in map {
                let key = match key {
                    Yaml::Representation(key, ..) if key == "<<" => {
                        return Err("it merges keys (<<): write them out".into());
                    }
                    Yaml::Representation(key, ..) => key.to_string(),
                    _ => return Err("a key is not a word".into()),
                };
                object.insert(key, to_json(value, depth + 1)?);
            }
            Ok(Value::Object(object))
        }
        Yaml::Tagged(_, inner) => to_json(inner, depth + 1),
        Yaml::Alias(_) => Err("it uses aliases".into()),
        Yaml::Value(_) | Yaml::BadValue => Err("a value does not read".into()),
    }
}

/// So many mistakes are named at once: a key can be written in thousands of ways.
const NAMED: usize = 10;

/// What is wrong with the file's keys and values, if anything is.
fn check(file: &Map<String, Value>) -> Result<(), String> {
    let mut wrong = wrong(file, of_key);
    for (section, _) in SECTIONS {
        if let Some(Value::Object(keys)) = file.get(section) {
            let of_section = self::wrong(keys, of_section_key);
            wrong.extend(of_section.iter().map(|why| format!("{section}: {why}")));
        }
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(wrong[..wrong.len().min(NAMED)].join("; ")),
    }
}

fn wrong(map: &Map<String, Value>, kind: fn(&str) -> Option<Kind>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (key, value) in map {
        let lower = key.to_lowercase();
        match kind(&lower) {
            None => {}
            // Go's JSON reader minds no case: unread by us, it could lead etcd to another data dir.
            Some(_) if lower != *key => wrong.push(format!("{key} is written {lower}")),
            Some(kind) => wrong.extend(mistake(key, value, kind)),
        }
    }
    wrong
}

fn mistake(key: &str, value: &Value, kind: Kind) -> Option<String> {
    let wanted = match (kind, value) {
        // The same as a key that is not there.
        (_, Value::Null) => return None,
        (Kind::Text, Value::String(text)) => {
            let why = values::word(key, text)?;
            return Some(format!("{key}: {} {why}", shorten(text)));
        }
        (Kind::Boolean, Value::Bool(_)) | (Kind::Section, Value::Object(_)) => return None,
        (Kind::Texts, Value::Array(items)) if items.iter().all(is_text) => return None,
        (Kind::Number | Kind::Duration, Value::Number(n)) if is_whole(n) => return None,
        (Kind::Count, Value::Number(n)) if is_whole(n) && n.as_f64() >= Some(0.0) => return None,
        (Kind::Text, _) => "no text: put it in quotes",
        (Kind::Boolean, _) => "neither true nor false: write it without quotes",
        (Kind::Section, _) => "no map of settings",
        (Kind::Texts, _) => "no list of texts: write [TEXT]",
        (Kind::Number, _) => "no whole number: write it without quotes",
        (Kind::Duration, _) => "no whole number of nanoseconds: write it without quotes",
        (Kind::Count, _) => "no whole number from 0 on: write it without quotes",
    };
    let value = shorten(&value.to_string());
    Some(format!("{key}: {value} is {wanted}"))
}

fn is_text(value: &Value) -> bool {
    matches!(value, Value::String(_) | Value::Null)
}

fn is_whole(number: &serde_json::Number) -> bool {
    number.as_f64().is_some_and(|number| number.fract() == 0.0)
}

/// The keys of both sections.
const KEYS: [&str; 7] = [
    "cert-file",
    "key-file",
    "client-cert-file",
    "client-key-file",
    "client-cert-auth",
    "trusted-ca-file",
    "auto-tls",
];

/// The file's settings by the names of etcd's flags.
///
/// Source: etcd `etcd.conf.yml.sample` and `server/embed/config.go`, the `json` tags (`DiscoveryCfg`: 3.6 on).
pub fn settings(file: &Map<String, Value>) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    for (key, value) in file {
        if let Some(text) = scalar(value) {
            settings.push((key.clone(), text));
        }
    }
    // etcd's own discovery from 3.6 on: a map of its own, which holds a token and perhaps a password.
    if let Some(Value::Object(map)) = file.get("discovery-config")
        && !map.is_empty()
    {
        settings.push(("discovery-config".into(), "{...}".into()));
    }
    for (section, prefix) in SECTIONS {
        for key in KEYS {
            let value = file.get(section).and_then(|section| section.get(key));
            if let Some(text) = value.and_then(scalar) {
                settings.push((format!("{prefix}{key}"), text));
            }
        }
    }
    settings
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(b) => Some(b.to_string()),
        Value::Number(n) => Some(n.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The file with our decision in it, as JSON, which etcd's YAML reader takes.
pub fn with_decision(file: &Map<String, Value>, state: &str, cluster: &str) -> String {
    let mut file = file.clone();
    file.insert("initial-cluster-state".into(), state.into());
    file.insert("initial-cluster".into(), cluster.into());
    // A discovery service would overrule the initial cluster.
    file.remove("discovery");
    file.remove("discovery-srv");
    Value::Object(file).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
name: 'n1'   # ours
data-dir: /d
quota-backend-bytes: 8589934592
client-transport-security:
  cert-file: /c
  client-cert-auth: true
peer-transport-security: {trusted-ca-file: /pca}
";

    #[test]
    fn a_configuration_file_gives_the_names_of_flags() {
        let settings = settings(&parse(FILE).unwrap());
        let get = |name: &str| {
            let found = settings.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.as_str())
        };
        assert_eq!(get("name"), Some("n1"));
        assert_eq!(get("cert-file"), Some("/c"));
        assert_eq!(get("client-cert-auth"), Some("true"));
        assert_eq!(get("peer-trusted-ca-file"), Some("/pca"));
        assert_eq!(get("quota-backend-bytes"), Some("8589934592"));
    }

    #[test]
    fn the_copy_states_the_decision_and_keeps_the_rest() {
        let copy = with_decision(&parse(FILE).unwrap(), "existing", "n1=http://a:1");
        let copy = parse(&copy).unwrap();
        assert_eq!(copy["initial-cluster-state"], "existing");
        assert_eq!(copy["client-transport-security"]["cert-file"], "/c");
        assert_eq!(copy["quota-backend-bytes"], 8589934592_u64);
    }

    /// Else etcd does not take the copy, when the membership is changed already.
    #[test]
    fn what_etcd_reads_as_no_text_is_none_in_the_copy() {
        let text = "a: yes\nb: 'yes'\nc: 8_589_934_592\nd: Off\ne: 010\nf: \"\"\ng:\n";
        let copy = with_decision(&parse(text).unwrap(), "existing", "n1=http://a:1");
        let copy: Value = serde_json::from_str(&copy).unwrap();
        for (key, value) in [
            ("a", Value::Bool(true)),
            ("b", "yes".into()),
            ("c", 8_589_934_592_u64.into()),
            ("d", Value::Bool(false)),
            ("e", 8.into()),
            ("f", "".into()),
            ("g", Value::Null),
        ] {
            assert_eq!(copy[key], value, "{key}");
        }
    }

    /// etcd's reader minds neither the first one's kind nor how the key is quoted.
    #[test]
    fn the_last_of_equal_keys_counts_as_for_etcd() {
        let text = "name: n1\nmax-wals: x\n'max-wals': 7\nclient-transport-security: {auto-tls: x}\n\
                    client-transport-security: {client-cert-auth: 1, client-cert-auth: true}\nname: n2\n";
        let file = parse(text).unwrap();
        check(&file).unwrap();
        assert_eq!(file["name"], "n2");
        assert_eq!(file["max-wals"], 7);
        let section = serde_json::json!({"client-cert-auth": true});
        assert_eq!(file["client-transport-security"], section);
        assert!(check(&parse("max-wals: 7\nmax-wals: x").unwrap()).is_err());
    }

    #[test]
    fn what_is_no_configuration_is_named() {
        for text in ["- a\n- b", "a: *x", "a: [", "---\na: 1\n---\nb: 2"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn what_etcd_would_not_take_is_named() {
        for (text, why) in [
            ("name: yes", "name: true is no text"),
            ("name: 5", "put it in quotes"),
            ("log-level: loud", "is no level"),
            ("pre-vote: 'yes'", "without quotes"),
            ("pre-vote: 1", "neither true nor false"),
            ("quota-backend-bytes: 8GB", "no whole number"),
            ("quota-backend-bytes: 1.5", "no whole number"),
            ("max-wals: -1", "from 0 on"),
            ("grpc-keepalive-interval: 5s", "nanoseconds"),
            ("log-outputs: stderr", "no list of texts"),
            ("cipher-suites: [1]", "no list of texts"),
            ("client-transport-security: x", "no map of settings"),
            (
                "peer-transport-security: {client-cert-auth: x}",
                "peer-transport-security: client-cert-auth: \"x\"",
            ),
            ("Data-Dir: /d", "Data-Dir is written data-dir"),
        ] {
            let said = check(&parse(text).unwrap()).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    #[test]
    fn what_etcd_takes_is_no_mistake() {
        for text in [
            "name: 'yes'",
            "pre-vote: yes",
            "quota-backend-bytes: 8_589_934_592",
            "quota-backend-bytes: -1",
            "max-wals: 1e1",
            "wal-dir: ~",
            "client-transport-security: {client-cert-auth: on}",
            "log-outputs: [stderr]",
            "cipher-suites: ~",
            "grpc-keepalive-interval: 5000000000",
            "unknown: [1, yes]",
        ] {
            assert_eq!(check(&parse(text).unwrap()), Ok(()), "{text}");
        }
    }
}
