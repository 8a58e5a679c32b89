//! Threads for listeners without keys: what strangers send is parsed beside those we know, not before them.

use tokio::net::{TcpListener, UdpSocket};
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

    /// A listener that wakes this runtime, and not the one that it was made in: to be called where the runtime is entered.
    pub(crate) fn own_listener(&self, listener: TcpListener) -> std::io::Result<TcpListener> {
        match self.0 {
            Some(_) => TcpListener::from_std(listener.into_std()?),
            None => Ok(listener),
        }
    }

    /// The same for datagrams.
    pub(crate) fn own_socket(&self, socket: UdpSocket) -> std::io::Result<UdpSocket> {
        match self.0 {
            Some(_) => UdpSocket::from_std(socket.into_std()?),
            None => Ok(socket),
        }
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
