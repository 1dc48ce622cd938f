//! The session alone, on a runtime that runs only where a test has it run: what leaves while it
//! does not was sent by the thread that released it.

use super::super::session::Parcel;
use super::*;
use crate::targets::brokers::{Parcel as _, PublishError};
use crate::targets::http::tests::tls::{server_config, trusting};
use crate::targets::trigger::Load;
use rustls::{ServerConnection, StreamOwned};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn order(url: &str, tls: &str) -> Order<Nats> {
    let form = format!("{{ servers: ['{url}'], subject: fires.a{tls} }}");
    Order::<Nats>::parse(&serde_saphyr::from_str(&form).unwrap()).unwrap()
}

fn parcel(session: &Session, body: &[u8]) -> Parcel {
    session.parcel("fires.a", &[], body).unwrap()
}

#[test]
fn a_message_leaves_by_the_thread_that_releases_it() {
    let (port, heard) = taking();
    let runtime = runtime();
    let nats = order(&format!("nats://localhost:{port}"), "").protocol;
    let session = runtime.block_on(nats.connect()).unwrap();
    let parcels: Vec<Parcel> =
        (0..60).map(|n| parcel(&session, n.to_string().as_bytes())).collect();
    assert!(heard.recv_timeout(Duration::from_millis(50)).is_err(), "nothing before the release");
    for (n, parcel) in parcels.iter().enumerate() {
        parcel.release();
        parcel.release();
        let text = heard.recv_timeout(PATIENCE).expect("it leaves though no runtime runs").text;
        assert_eq!(text, format!("NATS/1.0\r\n\r\n{n}\r\n"));
    }
    for parcel in &parcels {
        runtime.block_on(parcel.confirmed()).unwrap();
    }
    assert!(heard.try_recv().is_err(), "each is sent once");
}

#[test]
fn an_encrypted_message_leaves_by_the_thread_that_releases_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, heard) = mpsc::channel();
    std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let info = "INFO {\"headers\":true,\"max_payload\":1048576,\"tls_available\":true}\r\n";
        stream.write_all(info.as_bytes()).unwrap();
        let connection = ServerConnection::new(server_config(false)).unwrap();
        let secured = Shared(Arc::new(std::sync::Mutex::new(StreamOwned::new(connection, stream))));
        let (mut reader, mut writer) = (BufReader::new(secured.clone()), secured);
        let answer = |sent: &Published, out: &mut Shared| reply(sent, out, ACKNOWLEDGED);
        serve(0, &mut reader, &mut writer, &answer, &sender);
    });
    let runtime = runtime();
    let tls = format!(", tls: {}", trusting());
    let nats = order(&format!("nats://localhost:{port}"), &tls).protocol;
    let session = runtime.block_on(nats.connect()).unwrap();
    // More than a record, more than its buffers, and little.
    for octets in [40_000, 900_000, 1] {
        let body = "x".repeat(octets);
        let sent = parcel(&session, body.as_bytes());
        sent.release();
        if octets < 100_000 {
            let text = heard.recv_timeout(PATIENCE).expect("it leaves though no runtime runs").text;
            assert_eq!(text.len(), "NATS/1.0\r\n\r\n\r\n".len() + octets);
        }
        runtime.block_on(sent.confirmed()).unwrap();
        heard.try_iter().for_each(drop);
    }
}

/// One TLS connection for reader and writer, which take turns.
#[derive(Clone)]
struct Shared(Arc<std::sync::Mutex<StreamOwned<ServerConnection, TcpStream>>>);

impl Read for Shared {
    fn read(&mut self, octets: &mut [u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().read(octets)
    }
}

impl Write for Shared {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(octets)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.lock().unwrap().flush()
    }
}

#[test]
fn what_the_system_does_not_take_at_once_follows_in_order_and_is_limited() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (go_on, wait) = mpsc::channel::<()>();
    let (sender, heard) = mpsc::channel();
    std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        stream.write_all(b"INFO {\"headers\":true,\"max_payload\":9000000}\r\n").unwrap();
        // As much as logging in takes, and then nothing until it is told to.
        let mut reader = BufReader::with_capacity(16 * 1024, stream.try_clone().unwrap());
        let mut line = String::new();
        while !line.ends_with("PING\r\n") {
            reader.read_line(&mut line).unwrap();
        }
        stream.write_all(b"PONG\r\n").unwrap();
        wait.recv().unwrap();
        let answer = |sent: &Published, out: &mut TcpStream| reply(sent, out, ACKNOWLEDGED);
        serve(0, &mut reader, &mut stream, &answer, &sender);
    });
    let runtime = runtime();
    let nats = order(&format!("nats://localhost:{port}"), "").protocol;
    let session = runtime.block_on(nats.connect()).unwrap();
    // More than a socket's buffers take: 20 MB at least do not fit into 8 and what those are.
    let bodies = (0..40).map(|n| char::from(b'a' + n % 26).to_string().repeat(1_000_000));
    let parcels: Vec<Parcel> = bodies.map(|body| parcel(&session, body.as_bytes())).collect();
    let start = Instant::now();
    parcels.iter().for_each(Load::release);
    assert!(start.elapsed() < PATIENCE, "the releasing thread waits for nobody");
    let last = runtime.block_on(parcels[39].confirmed()).unwrap_err();
    assert!(matches!(last, PublishError::NotSent(_)), "{last}");
    go_on.send(()).unwrap();
    let mut taken = 0;
    for parcel in &parcels {
        match runtime.block_on(parcel.confirmed()) {
            Ok(()) => taken += 1,
            Err(PublishError::NotSent(problem)) => assert!(problem.contains("too much waits")),
            Err(error) => panic!("{error}"),
        }
    }
    let texts: Vec<String> = heard.try_iter().map(|sent| sent.text).collect();
    assert!(taken >= 8 && texts.len() == taken, "{taken}");
    for text in texts {
        let body = text.strip_prefix("NATS/1.0\r\n\r\n").unwrap().trim_end();
        assert!(body.len() == 1_000_000 && body.bytes().all(|c| c == body.as_bytes()[0]));
    }
}

#[test]
fn of_a_connection_that_is_lost_it_is_known_what_has_left() {
    let (port, heard) = server(INFO, |_, _| true);
    let runtime = runtime();
    let nats = order(&format!("nats://localhost:{port}"), "").protocol;
    let session = runtime.block_on(nats.connect()).unwrap();
    let (sent, kept) = (parcel(&session, b"sent"), parcel(&session, b"kept"));
    sent.release();
    heard.recv_timeout(PATIENCE).unwrap();
    drop(session);
    let lost = runtime.block_on(sent.confirmed()).unwrap_err();
    assert!(matches!(lost, PublishError::Lost(_)), "{lost}");
    kept.release();
    let unsent = runtime.block_on(kept.confirmed()).unwrap_err();
    assert!(matches!(unsent, PublishError::NotSent(_)), "{unsent}");
    assert!(heard.recv_timeout(Duration::from_millis(50)).is_err());
}

#[test]
fn a_complaint_about_a_subject_is_not_of_what_the_stream_has_taken() {
    let sent = Arc::new(AtomicUsize::new(0));
    let (port, _heard) = server(INFO, move |published, stream| {
        let complaint = "-ERR 'Permissions Violation for Publish to \"fires.a\"'\r\n";
        // The stream's answer takes its time, and the next message is not allowed any more.
        sent.fetch_add(1, Ordering::Relaxed) > 0 || {
            stream.write_all(complaint.as_bytes()).unwrap();
            std::thread::sleep(Duration::from_millis(100));
            reply(published, stream, ACKNOWLEDGED)
        }
    });
    let runtime = runtime();
    let nats = order(&format!("nats://localhost:{port}"), "").protocol;
    let session = runtime.block_on(nats.connect()).unwrap();
    let (taken, forbidden) = (parcel(&session, b"taken"), parcel(&session, b"forbidden"));
    taken.release();
    forbidden.release();
    let (taken, forbidden) =
        runtime.block_on(async { tokio::join!(taken.confirmed(), forbidden.confirmed()) });
    taken.unwrap();
    let forbidden = forbidden.unwrap_err();
    assert!(
        matches!(&forbidden, PublishError::Refused(p) if p.contains("Violation")),
        "{forbidden}"
    );
}
