//! HTTP servers on loopback whose connections a handler can cut without answering.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use axum::{
    Router,
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A server on a port the system picked; it stops accepting when dropped.
pub(crate) struct Server {
    address: SocketAddr,
    open: Open,
    task: JoinHandle<()>,
}

/// The connections there are.
type Open = Arc<Mutex<Vec<Weak<Line>>>>;

impl Server {
    pub(crate) async fn start(router: Router) -> Self {
        Self::on_port(0, router).await
    }

    /// Panics if the port is taken; 0 is never taken.
    pub(crate) async fn on_port(port: u16, router: Router) -> Self {
        let bound = TcpListener::bind(("127.0.0.1", port)).await;
        let listener = bound.unwrap_or_else(|error| panic!("port {port} on loopback: {error}"));
        let address = listener.local_addr().expect("a bound listener has an address");
        let service = router.into_make_service_with_connect_info::<Cut>();
        let open = Open::default();
        let connections = Connections { listener, open: Arc::clone(&open) };
        let task = tokio::spawn(async move {
            axum::serve(connections, service).await.expect("the accept loop never ends");
        });
        Self { address, open, task }
    }

    /// Closes every connection.
    pub(crate) fn hang_up(&self) {
        let open = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        open.iter().filter_map(Weak::upgrade).for_each(|line| Cut(line).now());
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The client that carries calls between the servers of this process.
///
/// No trust roots: it speaks plain HTTP to loopback only, and reading them costs more than starting a database.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder().tls_certs_only([]).no_proxy().build().expect("an HTTP client")
}

/// Cuts the connection a request came on: the caller sees it close instead of an answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cut(Arc<Line>);

#[derive(Debug, Default)]
struct Line {
    cut: AtomicBool,
    /// Whoever waits for the next request.
    reading: Mutex<Option<Waker>>,
}

impl Cut {
    pub(crate) fn now(&self) {
        self.0.cut.store(true, Ordering::SeqCst);
        if let Some(reading) = self.reading().take() {
            reading.wake();
        }
    }

    fn check(&self) -> io::Result<()> {
        if self.0.cut.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }

    fn reading(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.0.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connected<IncomingStream<'_, Connections>> for Cut {
    fn connect_info(stream: IncomingStream<'_, Connections>) -> Self {
        stream.remote_addr().clone()
    }
}

struct Connections {
    listener: TcpListener,
    open: Open,
}

impl Listener for Connections {
    type Io = Connection;
    type Addr = Cut;

    async fn accept(&mut self) -> (Connection, Cut) {
        let (stream, _) = Listener::accept(&mut self.listener).await;
        // Nagle's algorithm holds a small answer back for 40 ms.
        let _ = stream.set_nodelay(true);
        let cut = Cut::default();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|line| line.strong_count() > 0);
        open.push(Arc::downgrade(&cut.0));
        drop(open);
        let connection = Connection { stream, cut: cut.clone() };
        (connection, cut)
    }

    fn local_addr(&self) -> io::Result<Cut> {
        Ok(Cut::default())
    }
}

struct Connection {
    stream: TcpStream,
    cut: Cut,
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Before the look, so that a cut between the two is seen.
        *self.cut.reading() = Some(context.waker().clone());
        self.cut.check()?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.cut.check()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
