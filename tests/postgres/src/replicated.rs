//! Three servers of PostgreSQL, one of them the primary, and what may happen to them.

use crate::{Cluster, free_port};

/// A primary and two standbys, of which one has to have flushed what is acknowledged.
#[derive(Debug)]
pub struct Replicated {
    nodes: Vec<Cluster>,
    primary: usize,
    settings: String,
}

const NODES: usize = 3;

fn name(node: usize) -> String {
    format!("n{node}")
}

impl Replicated {
    /// A new one. Without `is_synchronous` nobody waits for the standbys.
    pub fn start(is_synchronous: bool) -> Self {
        let quorum = if is_synchronous { "ANY 1 (n0, n1, n2)" } else { "" };
        let settings = format!(
            "synchronous_standby_names = '{quorum}'\nwal_keep_size = 256MB\nwal_receiver_timeout = 3s\n\
             wal_sender_timeout = 3s\nwal_retrieve_retry_interval = 200ms\nhot_standby_feedback = off\n"
        );
        let mut all = Replicated {
            nodes: vec![Cluster::start(&settings)],
            primary: 0,
            settings,
        };
        for node in 1..NODES {
            let standby = all.new_standby(node, free_port());
            all.nodes.push(standby);
        }
        all
    }

    /// The node that takes writes.
    pub fn primary(&self) -> &Cluster {
        &self.nodes[self.primary]
    }

    /// The address of a database at all nodes.
    pub fn url(&self, database: &str) -> String {
        let hosts: Vec<String> = self
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port()))
            .collect();
        format!("postgres://{}@{}/{database}", crate::OWNER, hosts.join(","))
    }

    fn new_standby(&self, node: usize, port: u16) -> Cluster {
        self.primary().standby_at(&name(node), port, &self.settings)
    }

    fn standbys(&self) -> impl Iterator<Item = usize> {
        let primary = self.primary;
        (0..NODES).filter(move |node| *node != primary)
    }

    /// Ends both standbys, and after a while the primary; a standby goes on with what it had. (One that only stands still would
    /// find the rest in the buffers of its connection.)
    pub fn lose_standbys_then_primary(&mut self, meanwhile: impl FnOnce()) {
        for node in self.standbys() {
            self.nodes[node].kill();
        }
        meanwhile();
        self.primary().kill();
        for node in self.standbys() {
            self.nodes[node].resume();
        }
        self.lose_primary();
    }

    /// Ends the primary, and makes the standby that has most the next one.
    pub fn lose_primary(&mut self) {
        self.primary().kill();
        let old = self.primary;
        self.promote();
        self.rebuild(old);
    }

    /// Ends the primary, and starts it again.
    pub fn bounce_primary(&self) {
        self.primary().kill();
        self.primary().resume();
    }

    /// Stops the primary where it is, makes a standby the next one, and lets the old one go on for that long, as if nothing
    /// had happened.
    pub fn split(&mut self, meanwhile: impl FnOnce()) {
        let old = self.primary;
        self.nodes[old].freeze(true);
        self.promote();
        self.nodes[old].freeze(false);
        meanwhile();
        self.nodes[old].kill();
        self.rebuild(old);
    }

    /// Ends a standby, and starts it again after a while.
    pub fn bounce_standby(&self, meanwhile: impl FnOnce()) {
        if let Some(node) = self.standbys().next() {
            self.nodes[node].kill();
            meanwhile();
            self.nodes[node].resume();
        }
    }

    /// A failover asks both standbys: what is acknowledged is at one of them.
    fn promote(&mut self) {
        let Some(next) = self.standbys().max_by_key(|node| self.has_up_to(*node)) else {
            return;
        };
        let old = self.primary().port();
        self.nodes[next].promote();
        let other = self.standbys().find(|node| *node != next);
        self.primary = next;
        if let Some(other) = other {
            let follow = format!(
                "ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port={} user={} application_name={}'",
                self.primary().port(),
                crate::OWNER,
                name(other)
            );
            self.nodes[other].sql("postgres", &follow);
            self.nodes[other].sql("postgres", "SELECT pg_reload_conf()");
            // Before the old one goes on: what it commits must have nobody who says that he has it, too.
            let follows_old = format!("SELECT count(*) FROM pg_stat_wal_receiver WHERE sender_port = {old}");
            while self.nodes[other].sql("postgres", &follows_old) != "0" {
                std::thread::yield_now();
            }
        }
    }

    /// The end of the log that a standby has, when its primary is gone: all of it is replayed sooner or later. What it says to have
    /// received is the place where it would go on, and after a start that is the beginning of a segment.
    fn has_up_to(&self, node: usize) -> u64 {
        let asked = "SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0', pg_last_wal_replay_lsn() - '0/0'";
        let (mut replayed, mut same) = (String::new(), 0);
        loop {
            let answer = self.nodes[node].sql("postgres", asked);
            let (most, now) = answer.split_once('|').unwrap_or_default();
            same = if now == replayed { same + 1 } else { 0 };
            if same == 5 {
                return most.parse().unwrap_or(0);
            }
            now.clone_into(&mut replayed);
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }

    /// A node that was the primary begins anew, at its old place.
    fn rebuild(&mut self, node: usize) {
        let port = self.nodes[node].port();
        self.nodes[node] = self.new_standby(node, port);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In half an hour of chaos one commit of twelve million messages was gone that had been acknowledged. The failover had
    /// asked what each standby had received: one that was started again says where it would go on to receive, at the
    /// beginning of a segment, whatever it has.
    #[test]
    fn a_failover_finds_the_standby_that_has_most() {
        if !crate::is_installed() {
            return;
        }
        for more in [1, 2] {
            let mut nodes = Replicated::start(true);
            let insert = "INSERT INTO t VALUES (1)";
            nodes.primary().sql("postgres", "CREATE TABLE t(n integer)");
            nodes.nodes[3 - more].kill();
            nodes.primary().sql("postgres", insert);
            nodes.nodes[more].kill();
            nodes.primary().kill();
            nodes.nodes[1].resume();
            nodes.nodes[2].resume();
            nodes.lose_primary();
            let count = nodes.primary().sql("postgres", "SELECT count(*) FROM t");
            assert_eq!(count, "1", "node {more} had it");
        }
    }
}
