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
}
