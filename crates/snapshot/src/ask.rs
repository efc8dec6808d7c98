//! A person's word, before something that cannot be taken back: typed at a terminal, or given by `--yes`.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use etcd_rejoin_host::error::{Context as _, Error};

use crate::NotDone;

/// Goes on only with a yes. `what` is what a yes does.
pub fn yes(given: bool, what: &str) -> Result<(), NotDone> {
    if given {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        let words = format!("{what}: nobody is there to ask; --yes says that it is wanted");
        return Err(NotDone::Refused(Error::new(words)));
    }
    match typed(&format!("{what}. Type yes: "))?.as_str() {
        "yes" => Ok(()),
        _ => Err(NotDone::Refused(Error::new(
            "nothing is done without a yes",
        ))),
    }
}

/// What is typed in answer.
pub fn typed(question: &str) -> Result<String, NotDone> {
    let what = || "cannot ask".to_string();
    let mut err = std::io::stderr();
    (err.write_all(question.as_bytes())
        .and_then(|()| err.flush()))
    .context(what)?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context(what)?;
    Ok(line.trim().into())
}
