//! Threads for listeners without keys: what strangers send is parsed beside those we know, not before them.

use tokio::runtime::{Builder, EnterGuard, Handle, Runtime, RuntimeFlavor};

/// A runtime of its own where the server has threads. Under a runtime of one thread, as in tests with a clock of their own,
/// everything stays there.
pub(crate) struct PlainRuntime(Option<Runtime>);

impl PlainRuntime {
    pub(crate) fn start() -> std::io::Result<Self> {
        if Handle::current().runtime_flavor() != RuntimeFlavor::MultiThread {
            return Ok(PlainRuntime(None));
        }
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).thread_name("plain").enable_all();
        builder.build().map(|runtime| PlainRuntime(Some(runtime)))
    }

    /// What is spawned before the guard is dropped runs there.
    pub(crate) fn enter(&self) -> Option<EnterGuard<'_>> {
        self.0.as_ref().map(Runtime::enter)
    }
}

impl Drop for PlainRuntime {
    /// Its tasks have ended, or had their time: nobody waits here, where waiting is not allowed.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
