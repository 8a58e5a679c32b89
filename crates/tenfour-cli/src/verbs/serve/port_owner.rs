//! Who has a port? Linux tells, of one's own processes at least.

use std::fs;

/// `process 123 (name)`, if it can be found out.
pub fn owner_of(port: u16) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .find_map(|table| {
            table
                .lines()
                .skip(1)
                .find_map(|line| listening_inode(line, port).map(str::to_owned))
        })?;
    let wanted = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let name = process.file_name();
        let Some(id) = name
            .to_str()
            .filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
        else {
            continue;
        };
        let Ok(handles) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let has_it = handles
            .flatten()
            .any(|handle| fs::read_link(handle.path()).is_ok_and(|to| to.as_os_str() == wanted.as_str()));
        if has_it {
            let command = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("process {id} ({})", command.trim()));
        }
    }
    None
}

/// The inode of a line of /proc/net/tcp (proc(5)) that listens on `port`.
fn listening_inode(line: &str, port: u16) -> Option<&str> {
    const LISTEN: &str = "0A";
    let mut words = line.split_whitespace();
    let local = words.nth(1)?;
    let state = words.nth(1)?;
    let inode = words.nth(5)?;
    let its_port = u16::from_str_radix(local.rsplit(':').next()?, 16).ok()?;
    (its_port == port && state == LISTEN && inode != "0").then_some(inode)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn we_own_what_we_bind() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let owner = super::owner_of(listener.local_addr().unwrap().port()).unwrap();
        assert!(
            owner.starts_with(&format!("process {} (", std::process::id())),
            "{owner}"
        );
    }
}
