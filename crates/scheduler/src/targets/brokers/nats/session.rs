//! A conversation with a server over one connection, shared by all fires that name it.
//!
//! A message is a [`Parcel`]: complete before T, and given to the connection by whoever releases
//! it. The firing thread does that with one system call. It waits for nobody: where somebody else
//! is writing at that very moment, the couriers' thread gives the parcel next.

use super::answer::Answer;
use super::outbox::{Outbox, Place};
use super::wire::{Connect, Decoder, Info, Word, payload_octets, publication};
use crate::targets::brokers::PublishError;
use crate::targets::trigger::Load;
use rustls::ClientConnection;
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::{Mutex as AsyncMutex, Notify, oneshot};

/// An open connection, logged in; ended when this is dropped.
pub(crate) struct Session(Arc<Shared>);

struct Shared {
    tcp: TcpStream,
    /// Whether what arrives is encrypted.
    is_sealed: bool,
    outbox: Mutex<Outbox>,
    waiting: Mutex<Waiting>,
    /// The subject below which answers come.
    inbox: String,
    payload_octets_max: u64,
    /// The number of the next parcel.
    next: AtomicU64,
    /// Whether new messages should go elsewhere: the server says so, or says nothing any more.
    is_leaving: AtomicBool,
    /// Why the conversation is over, once it is.
    over: OnceLock<String>,
    /// Told when something waits in the outbox, or nobody uses the session any more.
    wake: Notify,
}

/// Who waits for what.
#[derive(Default)]
struct Waiting {
    parcels: HashMap<u64, Addressee>,
    /// Until when an answer may take, in the order of our `PING`s.
    pongs: VecDeque<(Instant, oneshot::Sender<()>)>,
}

/// Who waits for what became of a parcel.
struct Addressee {
    subject: String,
    progress: Arc<Progress>,
    /// Told that the stream has it, or why it does not.
    answer: oneshot::Sender<Result<(), String>>,
}

/// What is known of a parcel before its answer.
#[derive(Default)]
struct Progress {
    /// Where it was put; set by whoever gives it to the connection.
    place: OnceLock<Place>,
    /// What answered it first that is no stream.
    noise: OnceLock<String>,
    /// What the server did not like of it, or of another one to the same subject.
    complaint: OnceLock<String>,
    /// Told when there is a complaint.
    complained: Notify,
}

/// A message that is complete, and leaves when it is released, once.
pub(crate) struct Parcel {
    session: Arc<Shared>,
    number: u64,
    frame: Vec<u8>,
    progress: Arc<Progress>,
    answer: AsyncMutex<oneshot::Receiver<Result<(), String>>>,
}

/// The number of our only subscription.
const SUBSCRIPTION: u32 = 1;
/// How long an answer to a ping may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long a parcel of which the server may complain still has to be acknowledged: a complaint
/// names a subject only, and the stream may have taken others to the same one before.
const COMPLAINT_GRACE: Duration = Duration::from_millis(500);
/// How much is read at a time.
const READ_OCTETS: usize = 16 * 1024;

impl Session {
    /// Logs in over a connection on which the server has said what it is.
    pub(super) async fn begin(
        tcp: TcpStream,
        seal: Option<ClientConnection>,
        decoder: Decoder,
        info: Info,
        connect: &Connect,
    ) -> Result<Self, String> {
        let inbox = format!("_INBOX.{}", nonce()?);
        let subscription = format!("SUB {inbox}.* {SUBSCRIPTION}\r\n");
        let greeting = [connect.line(), subscription.into_bytes()].concat();
        let shared = Arc::new(Shared {
            tcp,
            is_sealed: seal.is_some(),
            outbox: Mutex::new(Outbox::new(seal)),
            waiting: Mutex::default(),
            inbox,
            payload_octets_max: info.max_payload,
            next: AtomicU64::new(0),
            is_leaving: AtomicBool::new(info.is_leaving),
            over: OnceLock::new(),
            wake: Notify::new(),
        });
        shared.give(&greeting);
        let session = Self(Arc::clone(&shared));
        tokio::spawn(async move {
            let Err(problem) = shared.serve(decoder).await;
            shared.end(problem);
        });
        session.ping().await?;
        Ok(session)
    }

    /// Returns when the server has read all that was sent before. One that does not answer gets no
    /// new messages: a connection can be lost without a word.
    pub(super) async fn ping(&self) -> Result<(), String> {
        let (answer, answered) = oneshot::channel();
        {
            // In one go, so that the answers come in the order of those who wait.
            let mut waiting = self.0.waiting();
            waiting.pongs.push_back((Instant::now() + ANSWER_MAX, answer));
            self.0.give(b"PING\r\n");
        }
        self.0.wake.notify_one();
        if self.0.over.get().is_some() {
            return Err(self.0.problem());
        }
        answered.await.map_err(|_| self.0.problem())
    }

    /// Whether no new message should go this way.
    pub(super) fn is_over(&self) -> bool {
        self.0.over.get().is_some() || self.0.is_leaving.load(Ordering::Relaxed)
    }

    /// Makes a message to `subject` ready.
    pub(super) fn parcel(
        &self,
        subject: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> Result<Parcel, PublishError> {
        let session = Arc::clone(&self.0);
        let number = session.next.fetch_add(1, Ordering::Relaxed);
        let reply = format!("{}.{number}", session.inbox);
        let frame = publication(subject, &reply, headers, body);
        let frame = frame.map_err(|error| PublishError::Refused(error.to_string()))?;
        let (octets, octets_max) = (payload_octets(&frame), session.payload_octets_max);
        if octets > octets_max {
            return Err(PublishError::Refused(format!(
                "the message has {octets} octets; the server's max_payload is {octets_max}"
            )));
        }
        let (sender, answer) = oneshot::channel();
        let progress = Arc::<Progress>::default();
        {
            // Whoever ends the session empties this after it has said so.
            let mut waiting = session.waiting();
            if session.over.get().is_some() {
                return Err(PublishError::NotSent(session.problem()));
            }
            let (subject, progress) = (subject.to_owned(), Arc::clone(&progress));
            waiting.parcels.insert(number, Addressee { subject, progress, answer: sender });
        }
        let answer = AsyncMutex::new(answer);
        Ok(Parcel { session, number, frame, progress, answer })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.0.over.set("nobody used it any more".to_owned());
        self.0.wake.notify_one();
    }
}

impl Load for Parcel {
    fn release(&self) {
        if self.session.over.get().is_some() {
            return;
        }
        let outbox = match self.session.outbox.try_lock() {
            Ok(outbox) => outbox,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        self.give(outbox);
    }
}

impl Parcel {
    /// What has answered it that is no stream.
    pub(super) fn noise(&self) -> Option<String> {
        self.progress.noise.get().cloned()
    }

    /// Gives it to the connection, where nobody has; returns when the stream has it.
    pub(super) async fn answered(&self) -> Result<(), PublishError> {
        if self.session.over.get().is_none() {
            self.give(self.session.outbox());
        }
        if self.progress.place.get().is_none() && self.session.over.get().is_none() {
            let problem = "too much waits already for the server to read it";
            return Err(PublishError::NotSent(problem.to_owned()));
        }
        let mut answer = self.answer.lock().await;
        tokio::select! {
            biased;
            answer = &mut *answer => {
                if let Ok(answer) = answer {
                    return answer.map_err(PublishError::Refused);
                }
            }
            complaint = self.progress.complaint() => return Err(PublishError::Refused(complaint)),
        }
        let problem = self.session.problem();
        let has_left = |place: &Place| self.session.outbox().has_left(*place);
        let may_be_there = self.progress.place.get().is_some_and(has_left);
        Err(if may_be_there { PublishError::Lost(problem) } else { PublishError::NotSent(problem) })
    }

    fn give(&self, mut outbox: MutexGuard<'_, Outbox>) {
        // Nobody else sets it: all do it with the outbox locked.
        if self.progress.place.get().is_some() {
            return;
        }
        if let Some(place) = outbox.push(&self.session.tcp, &self.frame) {
            let _ = self.progress.place.set(place);
        }
        let is_clogged = outbox.is_clogged();
        drop(outbox);
        if is_clogged {
            self.session.wake.notify_one();
        }
    }
}

impl Progress {
    /// What the server did not like, once that is no longer likely to be about another parcel.
    async fn complaint(&self) -> String {
        self.complained.notified().await;
        tokio::time::sleep(COMPLAINT_GRACE).await;
        self.complaint.get().cloned().unwrap_or_default()
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        self.session.waiting().parcels.remove(&self.number);
    }
}

impl Shared {
    /// Reads what the server says until it or we have no more to say; returns why.
    async fn serve(&self, mut decoder: Decoder) -> Result<Infallible, String> {
        let mut octets = vec![0; READ_OCTETS];
        // What came behind the server's first word, or with the last one of TLS' handshake.
        self.take_in(&[], &mut decoder)?;
        loop {
            let is_clogged = self.outbox().is_clogged();
            let answer_until = self.waiting().pongs.front().map(|(until, _)| *until);
            tokio::select! {
                ready = self.tcp.readable() => {
                    ready.map_err(broken)?;
                    match self.tcp.try_read(&mut octets) {
                        Ok(0) => return Err("the server closed the connection".to_owned()),
                        Ok(n) => self.take_in(&octets[..n], &mut decoder)?,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(broken(error)),
                    }
                }
                ready = self.tcp.writable(), if is_clogged => {
                    ready.map_err(broken)?;
                    self.outbox().flush(&self.tcp).map_err(broken)?;
                }
                () = sleep_until(answer_until) => {
                    self.is_leaving.store(true, Ordering::Relaxed);
                    self.waiting().pongs.clear();
                }
                () = self.wake.notified() => {
                    if self.over.get().is_some() {
                        return Err(String::new());
                    }
                }
            }
        }
    }

    fn take_in(&self, arrived: &[u8], decoder: &mut Decoder) -> Result<(), String> {
        if self.is_sealed {
            let plain = self.outbox().decrypt(&self.tcp, arrived).map_err(broken)?;
            decoder.feed(&plain);
        } else {
            // Without the outbox: the firing thread may want it now.
            decoder.feed(arrived);
        }
        while let Some(word) = decoder.word().map_err(|error| format!("it says {error}"))? {
            match word {
                Word::Ping => self.give(b"PONG\r\n"),
                Word::Pong => {
                    let waiting = self.waiting().pongs.pop_front();
                    waiting.map(|(_, answer)| answer.send(()));
                }
                Word::Message(message) => {
                    self.hand_over(&message.subject, |subject| Answer::read(&message, subject));
                }
                Word::LongMessage { subject, octets } => {
                    self.hand_over(&subject, |_| Answer::long(octets));
                }
                Word::Info(info) if info.is_leaving => {
                    self.is_leaving.store(true, Ordering::Relaxed);
                }
                Word::Error(problem) => self.complain(problem)?,
                Word::Info(_) | Word::Ok => {}
            }
        }
        Ok(())
    }

    /// Gives an answer that came to `inbox` to whoever waits for it; `read` is told the subject of
    /// the message that is answered.
    fn hand_over(&self, inbox: &str, read: impl FnOnce(&str) -> Answer) {
        let number = inbox.strip_prefix(&self.inbox).and_then(|rest| {
            let number = rest.strip_prefix('.')?;
            number.parse().ok()
        });
        let Some(number) = number else { return };
        let mut waiting = self.waiting();
        let Some(Addressee { subject, progress, .. }) = waiting.parcels.get(&number) else {
            return;
        };
        let answer = match read(subject) {
            Answer::Stored => Ok(()),
            Answer::Refused(problem) => Err(problem),
            // Anybody may listen to a subject; the stream's answer is yet to come.
            Answer::Noise(noise) => {
                let _ = progress.noise.set(noise);
                return;
            }
        };
        if let Some(addressee) = waiting.parcels.remove(&number) {
            // Where nobody hears, the wait was too long.
            let _ = addressee.answer.send(answer);
        }
    }

    /// Tells those whom it concerns of what the server does not like. All but a subject that we may
    /// not publish to is the end, for the server as a rule, and for us always.
    fn complain(&self, problem: String) -> Result<(), String> {
        let lower = problem.to_ascii_lowercase();
        if !lower.starts_with("permissions violation for publish") {
            return Err(problem);
        }
        let waiting = self.waiting();
        let outbox = self.outbox();
        for Addressee { subject, progress, .. } in waiting.parcels.values() {
            let has_left = progress.place.get().is_some_and(|place| outbox.has_left(*place));
            if has_left && problem.contains(&format!("\"{subject}\"")) {
                let _ = progress.complaint.set(problem.clone());
                progress.complained.notify_one();
            }
        }
        Ok(())
    }

    /// Sends words of ours.
    fn give(&self, words: &[u8]) {
        let mut outbox = self.outbox();
        let _ = outbox.push(&self.tcp, words);
        let is_clogged = outbox.is_clogged();
        drop(outbox);
        if is_clogged {
            self.wake.notify_one();
        }
    }

    /// Lets all who wait know that the conversation is over.
    fn end(&self, problem: String) {
        let _ = self.over.set(problem);
        // First, so that what is not sent by now is not sent after somebody was told so.
        self.outbox().close();
        let waiting = std::mem::take(&mut *self.waiting());
        drop(waiting);
    }

    /// Why there will be no answer.
    fn problem(&self) -> String {
        let silent = || format!("no answer to a ping within {} s", ANSWER_MAX.as_secs());
        self.over.get().cloned().unwrap_or_else(silent)
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns at this moment, or never.
async fn sleep_until(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until.into()).await,
        None => std::future::pending().await,
    }
}

fn broken(error: io::Error) -> String {
    format!("the connection broke: {error}")
}

/// A name that nobody guesses: whoever knew it could answer in the stream's place.
fn nonce() -> Result<String, String> {
    let mut octets = [0; 16];
    let provider = rustls::crypto::ring::default_provider();
    let filled = provider.secure_random.fill(&mut octets);
    filled.map_err(|_| "this machine has no random numbers".to_owned())?;
    Ok(octets.iter().map(|octet| format!("{octet:02x}")).collect())
}
