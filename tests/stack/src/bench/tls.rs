//! The same over TLS: endpoints on loopback behind a chain of their own, below which the system's trust roots are read as on Lambda.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::Url;
use stack::Stack;
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::contestants::{Contestant, new_task};
use super::figures::{SHOWN, Times};
use super::payloads::Payloads;
use super::{Bench, setting};

/// All roots that a Lambda has, or about as many.
const SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";

/// A root, an intermediate and a leaf, as AWS's endpoints have them: RSA, 2048 bits.
const CHAIN: &str = r#"
set -e
make() { openssl req -new -newkey rsa:2048 -nodes -keyout $1.key -out $1.csr -subj "/CN=$1" 2>/dev/null; }
sign() { openssl x509 -req -in $1.csr -CA $2.pem -CAkey $2.key -CAcreateserial -days 2 -out $1.pem -extfile $1.ext 2>/dev/null; }
openssl req -x509 -newkey rsa:2048 -nodes -keyout root.key -out root.pem -days 2 -subj /CN=root 2>/dev/null
echo "basicConstraints=critical,CA:TRUE" > intermediate.ext
echo "subjectAltName=IP:127.0.0.1" > leaf.ext
make intermediate && sign intermediate root
make leaf && sign leaf intermediate
cat leaf.pem intermediate.pem > chain.pem
cat "$SYSTEM" root.pem > bundle.pem
"#;

/// Tables and secrets behind TLS, until dropped.
pub(super) struct Tls {
    folder: TempDir,
    endpoints: Vec<Endpoint>,
}

struct Endpoint {
    variable: &'static str,
    url: String,
    handshakes: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Tls {
    /// In front of a stack's.
    pub(super) async fn start(stack: &Stack) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let made = Command::new("sh").args(["-c", CHAIN]).env("SYSTEM", SYSTEM).current_dir(&folder).status();
        assert!(made.is_ok_and(|status| status.success()), "openssl makes a chain, and {SYSTEM} is there");
        let acceptor = acceptor(folder.path());
        let mut endpoints = Vec::new();
        for (variable, url) in [
            ("AWS_ENDPOINT_URL_DYNAMODB", stack.dynamodb.url()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", stack.secrets.url()),
        ] {
            endpoints.push(Endpoint::start(variable, &url, acceptor.clone()).await);
        }
        Self { folder, endpoints }
    }

    /// What a function is told of it, ours, Node.js and boto3 each in its own words.
    pub(super) fn variables(&self) -> Vec<(&'static str, String)> {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let trust = [
            ("SSL_CERT_FILE", file("bundle.pem")),
            ("NODE_EXTRA_CA_CERTS", file("root.pem")),
            ("AWS_CA_BUNDLE", file("bundle.pem")),
        ];
        let endpoints = self.endpoints.iter().map(|endpoint| (endpoint.variable, endpoint.url.clone()));
        endpoints.chain(trust).collect()
    }

    /// How many handshakes there were since the last call.
    fn handshakes(&self) -> usize {
        self.endpoints.iter().map(|endpoint| endpoint.handshakes.swap(0, Ordering::SeqCst)).sum()
    }
}

impl Endpoint {
    async fn start(variable: &'static str, url: &str, acceptor: TlsAcceptor) -> Self {
        let behind = Url::parse(url).expect("a URL").socket_addrs(|| None).expect("an address")[0];
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let handshakes = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&handshakes);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(carry(stream, behind, acceptor.clone()));
            }
        });
        Self { variable, url: format!("https://{address}"), handshakes, task }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A client that goes away ends its connection; nobody is told.
async fn carry(stream: TcpStream, behind: std::net::SocketAddr, acceptor: TlsAcceptor) {
    let _ = stream.set_nodelay(true);
    let (Ok(mut stream), Ok(mut inner)) = (acceptor.accept(stream).await, TcpStream::connect(behind).await) else {
        return;
    };
    let _ = inner.set_nodelay(true);
    let _ = copy_bidirectional(&mut stream, &mut inner).await;
}

fn acceptor(folder: &Path) -> TlsAcceptor {
    let file = |name: &str| -> PathBuf { folder.join(name) };
    let chain = CertificateDer::pem_file_iter(file("chain.pem")).expect("a chain");
    let chain = chain.collect::<Result<_, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_file(file("leaf.key")).expect("a key");
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).expect("they fit");
    TlsAcceptor::from(Arc::new(config))
}

/// Cold merges over TLS, beside the same without.
pub(super) async fn run(bench: &Bench) {
    let stack = bench.stack().await;
    let payloads = Payloads::of(&stack);
    let tls = Tls::start(&stack).await;
    let plain = Contestant::all(bench, &stack, "", &[]).await;
    let secure = Contestant::all(bench, &stack, "_tls", &tls.variables()).await;
    let rounds = setting("COLD", 10);
    let mut times = vec![Times::default(); 2 * plain.len()];
    let mut handshakes = vec![0; plain.len()];
    for round in 0..rounds {
        for (index, contestant) in plain.iter().chain(&secure).enumerate() {
            let task = new_task(&stack);
            stack.lambda.kill_environments(&contestant.function);
            tls.handshakes();
            let number = (round * times.len() + index + 1) as u64;
            let answer = contestant.answer(payloads.delivery("merged", number, &task)).await;
            assert!(answer.is_ok_and(|answer| answer["statusCode"] == 200), "{} over TLS", contestant.label);
            let start = stack.lambda.cold_starts(&contestant.function).pop().and_then(|start| start.answered);
            times[index].push(start.expect("the contestant started"));
            if let Some(index) = index.checked_sub(plain.len()) {
                handshakes[index] = tls.handshakes();
            }
        }
    }
    println!(
        "\nA merge from process start, over TLS with {rounds} starts each, ms\n  {:<18}{SHOWN}{:>14}  handshakes",
        "", "without TLS"
    );
    for (index, contestant) in secure.iter().enumerate() {
        let (without, with) = (&times[index], &times[plain.len() + index]);
        println!("  {:<18}{}{:>14.2}{:>12}", contestant.label, with.shown(), without.at(0.5), handshakes[index]);
    }
}
