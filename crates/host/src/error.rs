//! The one error type: what was attempted, and what stood in its way.

use std::fmt;

/// An attempt that failed: what was tried on which object, then the cause.
///
/// Prints as `cannot open X: permission denied`: lower case, no full stop, reads well after a colon.
#[derive(Debug)]
pub struct Error {
    what: String,
    source: Option<Box<dyn std::error::Error + Send + Sync + 'static>>,
}

impl Error {
    /// An error without a further cause.
    pub fn new(what: impl Into<String>) -> Self {
        Error {
            what: what.into(),
            source: None,
        }
    }

    /// An error with its cause.
    pub fn caused(
        what: impl Into<String>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Error {
            what: what.into(),
            source: Some(Box::new(source)),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(source) = &self.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

// The cause is part of Display, so `source` stays `None`: a chain printer must not say it twice.
impl std::error::Error for Error {}

/// Says what was attempted, in front of a cause.
pub trait Context<T> {
    /// Wraps the error: `fs::rename(..).context(|| format!("cannot move {from}"))?`.
    fn context(self, what: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T, E: std::error::Error + Send + Sync + 'static> Context<T> for Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|e| Error::caused(what(), e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_as_attempt_then_cause() {
        let cause: Result<(), _> = Err(std::io::Error::other("disk on fire"));
        let error = cause.context(|| "cannot move a to b".into()).unwrap_err();
        let error: Result<(), _> = Err::<(), _>(error).context(|| "cannot set data aside".into());
        assert_eq!(
            error.unwrap_err().to_string(),
            "cannot set data aside: cannot move a to b: disk on fire"
        );
    }
}
