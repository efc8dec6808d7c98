//! etcd on trial: a child of a small image of this program, beside another one that watches whether it is healthy.

mod catching_up;
pub mod health;
pub mod images;
pub mod supervise;
mod watcher;
