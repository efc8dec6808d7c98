//! What is said of an object, wherever it lies.

use std::time::SystemTime;

/// Nobody's small object is larger.
pub const SMALL: usize = 1 << 20;

/// What became of a conditional create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// The object is there, and says what we wanted it to say.
    Ours,
    /// Another one was there first.
    Others,
}

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Its name below the place.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written, by the store's clock.
    pub modified: SystemTime,
}
