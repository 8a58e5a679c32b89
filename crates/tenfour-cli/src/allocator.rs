//! Memory that is not needed any more goes back to the system. The allocator of glibc keeps what was taken once: a server that
//! thousands of connections had filled stayed as large after they had gone.

/// Has a thread give back what is free, from now on. For a process that stays; a moment's is freed by its end.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    glibc::give_back();
}

#[cfg(target_env = "gnu")]
mod glibc {
    use std::ffi::c_int;
    use std::time::Duration;

    /// How often. What an attack took is back within half a minute.
    const PERIOD: Duration = Duration::from_secs(10);

    /// How much stays at the end of each thread's heap, where `malloc_trim` does not reach. Unless it is set glibc raises it, up to
    /// 64 MiB, with each large piece that is freed; with less, busy threads would take again what they have just given back.
    const KEPT: c_int = 1 << 20;

    #[allow(
        unsafe_code,
        reason = "two calls of the C library, which no crate wraps: numbers go in, and nothing of ours is touched"
    )]
    pub(super) fn give_back() {
        // SAFETY: it may be called at any time, by any thread; so may the other one.
        let is_set = unsafe { libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT) } == 1;
        let thread = std::thread::Builder::new().name("memory".into()).spawn(|| {
            loop {
                std::thread::sleep(PERIOD);
                unsafe { libc::malloc_trim(0) };
            }
        });
        if !is_set || thread.is_err() {
            tracing::debug!("memory that is free stays with this process");
        }
    }
}
