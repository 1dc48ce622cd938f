//! A small world for one engine: servers that behave as they are told, at the end of even paths.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use timeball_ntp::engine::{
    Action, Engine, EngineConfig, Input, Report, ResolveError, SourceConfig, SourceId,
};
use timeball_ntp::mac::{Key, KeyRing};
use timeball_ntp::packet::{HEADER_OCTETS, Header, Mode};
use timeball_timebase::{MonoTime, Now, NtpTime, Span, Timestamp};

/// A server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Server {
    /// How far its clock is ahead.
    pub(crate) lie: Span,
    /// Half of the round trip to it.
    pub(crate) way: Span,
    /// Whether it answers at all.
    pub(crate) silent: bool,
    /// The kiss of death that it answers with.
    pub(crate) kiss: Option<[u8; 4]>,
    /// The key that it answers with.
    pub(crate) key: Option<Key>,
    /// When it was asked.
    pub(crate) asked: Vec<MonoTime>,
}

impl Server {
    /// One whose clock is ahead by `lie`, a millisecond away.
    pub(crate) fn ahead(lie: Span) -> Self {
        Self { lie, way: Span::from_micros(500), ..Self::default() }
    }

    fn answer(&self, request: &[u8], at: Timestamp) -> Vec<u8> {
        let asked = Header::parse(request.first_chunk().expect("a request has a header"));
        let time = NtpTime::from_timestamp(at + self.lie);
        let header = Header {
            mode: Mode::Server,
            stratum: if self.kiss.is_some() { 0 } else { 1 },
            reference_id: self.kiss.unwrap_or(*b"TEST"),
            precision: -24,
            origin: asked.transmit,
            receive: time,
            transmit: time,
            ..Header::request(4, NtpTime::ZERO)
        };
        let mut octets = header.encode().to_vec();
        if let Some(key) = &self.key {
            key.seal(4, &mut octets);
        }
        octets
    }
}

/// The engine with all around it.
pub(crate) struct Network {
    engine: Engine,
    raw: MonoTime,
    wake_at: Option<MonoTime>,
    /// Answers on their way.
    flying: Vec<(MonoTime, SourceId, SocketAddr, Vec<u8>)>,
    pub(crate) servers: BTreeMap<SocketAddr, Server>,
    /// What the resolver says.
    pub(crate) names: BTreeMap<String, Vec<SocketAddr>>,
    /// Whether it does not answer.
    pub(crate) resolver_is_down: bool,
    /// How often it was asked.
    pub(crate) resolved: u32,
    /// What is sent to the client before each answer.
    pub(crate) before_each: Option<Vec<u8>>,
}

impl Network {
    /// Servers at their addresses and an engine that is to ask the sources; nothing is started.
    pub(crate) fn new(
        sources: Vec<SourceConfig>,
        keys: KeyRing,
        servers: &[(&str, Server)],
    ) -> Self {
        let raw = MonoTime::from_nanos(1_000_000_000);
        let config = EngineConfig { sources, keys, ..EngineConfig::default() };
        let engine = Engine::new(config, [5; 32], now(raw));
        let address = |text: &str| text.parse().expect("an address");
        let servers = servers.iter().map(|(at, server)| (address(at), server.clone())).collect();
        Self {
            engine,
            raw,
            wake_at: None,
            flying: Vec::new(),
            servers,
            names: BTreeMap::new(),
            resolver_is_down: false,
            resolved: 0,
            before_each: None,
        }
    }

    /// A name and its addresses.
    pub(crate) fn named(mut self, name: &str, addresses: &[&str]) -> Self {
        let addresses = addresses.iter().map(|text| text.parse().expect("an address")).collect();
        self.names.insert(name.to_owned(), addresses);
        self
    }

    /// Starts the engine.
    pub(crate) fn started(mut self) -> Self {
        let actions = self.engine.start(now(self.raw));
        self.carry_out(actions);
        self
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, span: Span) {
        let end = self.raw + span;
        loop {
            let answer = self.flying.iter().map(|(at, ..)| *at).min();
            let Some(next) = [answer, self.wake_at].into_iter().flatten().min() else { break };
            if next > end {
                break;
            }
            self.raw = self.raw.max(next);
            if answer == Some(next) {
                let at = self.flying.iter().position(|(at, ..)| *at == next).expect("it flies");
                let (_, source, from, octets) = self.flying.remove(at);
                let received_at = now(self.raw).system;
                self.feed(Input::Datagram { source, from, octets: &octets, received_at });
            } else {
                self.wake_at = None;
                self.feed(Input::Wake);
            }
        }
        self.raw = end;
    }

    pub(crate) fn report(&self) -> Report {
        self.engine.report(now(self.raw))
    }

    /// The server at an address.
    pub(crate) fn server(&mut self, address: &str) -> &mut Server {
        let address: SocketAddr = address.parse().expect("an address");
        self.servers.get_mut(&address).expect("there is a server")
    }

    fn feed(&mut self, input: Input<'_>) {
        let actions = self.engine.handle_input(now(self.raw), input);
        self.carry_out(actions);
    }

    /// Carries actions out in order; what comes of them are inputs, whose actions come last.
    fn carry_out(&mut self, actions: Vec<Action>) {
        let mut actions = VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            let outcome = match action {
                Action::WakeAt(at) => {
                    self.wake_at = Some(at);
                    continue;
                }
                Action::Send { source, to, octets, token } => {
                    self.deliver(source, to, &octets);
                    Input::Transmitted { token, sent_at: now(self.raw).system }
                }
                Action::Resolve { source, host, .. } => {
                    self.resolved += 1;
                    let known = self.names.get(&host).cloned();
                    let result = match self.resolver_is_down {
                        true => Err(ResolveError::Temporary),
                        false => known.ok_or(ResolveError::NotFound),
                    };
                    Input::Resolved { source, result }
                }
                Action::Close { source } => {
                    self.flying.retain(|(_, whose, ..)| *whose != source);
                    continue;
                }
                _ => continue,
            };
            actions.extend(self.engine.handle_input(now(self.raw), outcome));
        }
    }

    fn deliver(&mut self, source: SourceId, to: SocketAddr, octets: &[u8]) {
        assert!(octets.len() >= HEADER_OCTETS);
        let raw = self.raw;
        let Some(server) = self.servers.get_mut(&to) else { return };
        server.asked.push(raw);
        if server.silent {
            return;
        }
        let answer = server.answer(octets, now(raw + server.way).system);
        let arrives = raw + server.way * 2;
        if let Some(forged) = &self.before_each {
            let mut forged = forged.clone();
            // Whoever sees the request can bring its timestamp back.
            forged[24..32].copy_from_slice(&octets[40..48]);
            self.flying.push((arrives, source, to, forged));
        }
        self.flying.push((arrives, source, to, answer));
    }
}

fn now(raw: MonoTime) -> Now {
    let start = Timestamp::from_unix(1_795_000_000, 0);
    Now::exact(raw, start + (raw - MonoTime::ZERO))
}
