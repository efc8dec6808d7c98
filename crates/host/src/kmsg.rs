//! One line for the machine's own log, where standard error goes nowhere: keepalived and the kernel
//! throw away what their programs print.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::net::UnixDatagram;

use crate::text::one_line;

/// The kernel cuts a longer record.
const MAX: usize = 800;

/// Says it to standard error and to the kernel's log, or to syslog where that is closed to us. That
/// nobody takes it is no failure.
pub fn tell(text: &str) {
    eprintln!("etcd-rejoin: {}", one_line(text, MAX));
    log(text);
}

/// Says it to the kernel's log alone, or to syslog.
pub fn log(text: &str) {
    let line = one_line(text, MAX);
    let tag = format!("etcd-rejoin[{}]", std::process::id());
    // Priorities of syslog(3): facility daemon, severity warning. The kernel's is severity alone.
    let kernel = OpenOptions::new().write(true).open("/dev/kmsg");
    if kernel
        .and_then(|mut log| log.write_all(format!("<4>{tag}: {line}\n").as_bytes()))
        .is_ok()
    {
        return;
    }
    let _ = UnixDatagram::unbound().and_then(|socket| {
        socket.set_nonblocking(true)?;
        socket.send_to(format!("<28>{tag}: {line}").as_bytes(), "/dev/log")
    });
}
