//! Two machines: a member that lives on a DRBD volume and roves with it. keepalived wishes, the volume's own
//! table decides, and the kernel has the last word.

pub mod commands;
pub mod drbd;
pub mod fence;
pub mod gate;
pub mod mount;
pub mod rove;
pub mod settings;
pub mod table;
pub mod two_node;
