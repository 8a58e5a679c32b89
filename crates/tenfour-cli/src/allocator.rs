//! Whose memory it is. The allocator of glibc keeps what was taken once: a server that thousands of connections had filled stayed
//! as large after they had gone.

#[cfg(target_os = "linux")]
#[global_allocator]
static JEMALLOC: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// From here on a thread gives back what nobody has used for some seconds. For a process that stays; a moment's is freed by its
/// end.
pub fn give_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = tikv_jemalloc_ctl::background_thread::write(true) {
        tracing::debug!(%error, "memory that is not used any more is given back only when some is taken");
    }
    #[cfg(target_env = "gnu")]
    give_back_what_sqlite_frees();
}

/// How much glibc keeps at the end of a heap that it could give back. It begins with this and raises it, up to 64 MiB, with each
/// large piece that is freed, unless it was set.
#[cfg(target_env = "gnu")]
const KEPT: i32 = 128 << 10;

/// Heaps in which threads put what they take. Only SQLite's connections do, and each thread would have a heap of its own, in which
/// something always stays.
#[cfg(target_env = "gnu")]
const HEAPS: i32 = 2;

/// SQLite is C and takes its memory from glibc.
#[cfg(target_env = "gnu")]
#[allow(
    unsafe_code,
    reason = "a setting of the C library, which no crate wraps; it takes two numbers and touches nothing of ours"
)]
fn give_back_what_sqlite_frees() {
    // SAFETY: `mallopt` may be called at any time, by any thread.
    let set =
        unsafe { libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT) & libc::mallopt(libc::M_ARENA_MAX, HEAPS) };
    if set == 0 {
        tracing::debug!("the C library keeps the memory that SQLite frees");
    }
}
