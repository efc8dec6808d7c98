//! DRBD as its own tools tell of it and change it: `drbdsetup events2` and `show` for what is, `drbdadm`
//! for what shall be. No `--force` unless a person has said so; never `--discard-my-data` or `invalidate`.

mod events;
mod failure;
mod follow;
mod metadata;
mod module;
mod settings;
mod summary;
mod tool;

pub use events::DrbdState;
pub use failure::{DrbdFailure, FailureKind};
pub use follow::Follower;
pub use metadata::Metadata;
pub use module::{module_is_safe, usermode_helper_is_on};
pub use settings::{DEFAULTS, Settings};
pub(crate) use settings::{Piece, pieces};
pub use summary::{split_brain, summary};
pub use tool::{Drbd, is_resource, resource};

/// What the parsers read, for tests of recorded output.
pub mod parse {
    pub use super::events::parse as events;
    pub use super::metadata::parse as metadata;
    pub use super::settings::{handler_is_ours, parse as settings};
}
