//! The road to the emulator, with bad stretches: connections that break, and HTTP/2 spoken frame by frame, so that a test
//! decides what no server library lets it decide. Each connection takes the next stretch; when there is none left, it leads
//! to the emulator itself.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::FcmEmulator;

/// What happens to a connection.
#[derive(Debug)]
pub enum Stretch {
    /// It is reset before a word was said.
    Reset,
    /// What answers is no TLS.
    NotTls,
    /// HTTP/2, with these settings, and this for each request in turn; requests beyond them are not answered.
    Http2(Vec<Setting>, Vec<Play>),
}

/// A setting of HTTP/2 (RFC 9113, 6.5.2).
#[derive(Debug, Clone, Copy)]
pub enum Setting {
    /// SETTINGS_MAX_CONCURRENT_STREAMS.
    MaxConcurrentStreams(u32),
    /// SETTINGS_INITIAL_WINDOW_SIZE.
    InitialWindow(u32),
}

/// What happens to one request.
#[derive(Debug, Clone, Copy)]
pub enum Play {
    /// It is accepted.
    Accept,
    /// It is accepted, in two DATA frames, with a PING after them.
    AcceptInPieces,
    /// It is accepted, and this setting holds from then on.
    AcceptThen(Setting),
    /// It is accepted as soon as another one has ended the connection.
    AcceptAtTheEnd,
    /// It is accepted with a `content-length` that is not so.
    AcceptWithWrongLength,
    /// RST_STREAM with REFUSED_STREAM: nothing was done.
    Refuse,
    /// GOAWAY with this code, before this request: nothing was done.
    GoAwayBefore(u32),
    /// GOAWAY with this code, after this request, which is accepted.
    GoAwayAfter(u32),
    /// The connection is reset in the middle of the request.
    Reset,
    /// The connection is reset in the middle of the answer.
    ResetInAnswer,
}

/// GOAWAY: it is time to go.
pub const NO_ERROR: u32 = 0;
/// GOAWAY: FCM's `too_many_pings`.
pub const ENHANCE_YOUR_CALM: u32 = 0xb;

/// What was seen on the road.
#[derive(Debug, Clone, Default)]
pub struct Traffic {
    /// Connections.
    pub connections: usize,
    /// Requests on scripted connections.
    pub requests: usize,
    /// Requests that were open on one of them at the same time, at most.
    pub most_open: usize,
}

/// The road. Dropping it closes it.
#[derive(Debug)]
pub struct Road {
    endpoint: String,
    traffic: watch::Sender<Traffic>,
    task: JoinHandle<()>,
}

impl Drop for Road {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Road {
    /// A road to `emulator`, with these stretches first.
    pub async fn to(emulator: &FcmEmulator, stretches: Vec<Stretch>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("https://{}", listener.local_addr().expect("bound"));
        let target = emulator.endpoint().trim_start_matches("https://").to_owned();
        let tls = TlsAcceptor::from(Arc::clone(emulator.tls.as_ref().expect("an emulator with TLS")));
        let traffic = watch::Sender::new(Traffic::default());
        let counting = traffic.clone();
        let stretches = Mutex::new(VecDeque::from(stretches));
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                counting.send_modify(|traffic| traffic.connections += 1);
                let stretch = stretches.lock().expect("no panic").pop_front();
                let (target, tls, counting) = (target.clone(), tls.clone(), counting.clone());
                // How a connection ends is the client's to notice.
                tokio::spawn(async move { travel(socket, stretch, &target, tls, counting).await });
            }
        });
        Self { endpoint, traffic, task }
    }

    /// Where it begins: what `RELAY_FCM_ENDPOINT` shall be.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What was seen so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic.borrow().clone()
    }
}

async fn travel(
    mut socket: TcpStream,
    stretch: Option<Stretch>,
    target: &str,
    tls: TlsAcceptor,
    traffic: watch::Sender<Traffic>,
) -> io::Result<()> {
    match stretch {
        None => {
            let mut far = TcpStream::connect(target).await?;
            copy_bidirectional(&mut socket, &mut far).await.map(|_| ())
        }
        Some(Stretch::Reset) => reset(&socket),
        Some(Stretch::NotTls) => {
            socket.write_all(b"220 mail.example ESMTP\r\n").await?;
            let mut rest = Vec::new();
            socket.read_to_end(&mut rest).await.map(|_| ())
        }
        Some(Stretch::Http2(settings, plays)) => {
            let socket = tls.accept(socket).await?;
            let mut peer = Peer::new(socket, plays, traffic);
            peer.settings(&settings).await?;
            if peer.talk().await? == End::Reset {
                reset(peer.socket.get_ref().0)?;
            }
            Ok(())
        }
    }
}

/// Makes the socket end with RST when it is dropped.
fn reset(socket: &TcpStream) -> io::Result<()> {
    socket.set_zero_linger()
}

const PREFACE: usize = 24;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
/// END_STREAM of DATA and HEADERS, ACK of SETTINGS and PING.
const LAST: u8 = 1;
const END_HEADERS: u8 = 4;
const REFUSED_STREAM: u32 = 7;
/// `:status: 200`, as HPACK knows it.
const STATUS_200: u8 = 0x88;
/// `content-length: 999`, spelt out.
const LENGTH_999: &[u8] = &[0x0f, 0x0d, 3, b'9', b'9', b'9'];

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Closed,
    Reset,
}

/// The far end of an HTTP/2 connection.
struct Peer<S> {
    socket: S,
    plays: VecDeque<Play>,
    open: HashMap<u32, Play>,
    traffic: watch::Sender<Traffic>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    fn new(socket: S, plays: Vec<Play>, traffic: watch::Sender<Traffic>) -> Self {
        Self { socket, plays: plays.into(), open: HashMap::new(), traffic }
    }

    async fn talk(&mut self) -> io::Result<End> {
        let mut preface = [0; PREFACE];
        self.socket.read_exact(&mut preface).await?;
        loop {
            let frame = self.read().await?;
            let answer_to = match frame.kind {
                SETTINGS | PING if frame.flags & LAST == 0 => {
                    let echo = if frame.kind == PING { frame.payload } else { Vec::new() };
                    self.write(frame.kind, LAST, 0, &echo).await?;
                    continue;
                }
                HEADERS => {
                    if let Some(end) = self.begin(frame.stream).await? {
                        return Ok(end);
                    }
                    (frame.flags & LAST != 0).then_some(frame.stream)
                }
                DATA if frame.flags & LAST != 0 => Some(frame.stream),
                _ => None,
            };
            if let Some(stream) = answer_to
                && let Some(end) = self.answer(stream).await?
            {
                return Ok(end);
            }
        }
    }

    /// A request begins.
    async fn begin(&mut self, stream: u32) -> io::Result<Option<End>> {
        let play = self.plays.pop_front();
        self.traffic.send_modify(|traffic| traffic.requests += 1);
        match play {
            Some(Play::Refuse) => self.write(RST_STREAM, 0, stream, &REFUSED_STREAM.to_be_bytes()).await?,
            Some(Play::GoAwayBefore(code)) => return self.go_away(stream - 2, code).await.map(Some),
            Some(Play::Reset) => return Ok(Some(End::Reset)),
            Some(play) => {
                self.open.insert(stream, play);
            }
            None => (),
        }
        let open = self.open.len();
        self.traffic.send_modify(|traffic| traffic.most_open = traffic.most_open.max(open));
        Ok(None)
    }

    /// A request has come to its end.
    async fn answer(&mut self, stream: u32) -> io::Result<Option<End>> {
        let Some(play) = self.open.get(&stream).copied() else { return Ok(None) };
        match play {
            Play::AcceptAtTheEnd => return Ok(None),
            Play::ResetInAnswer => {
                self.write(HEADERS, END_HEADERS, stream, &[STATUS_200]).await?;
                return Ok(Some(End::Reset));
            }
            Play::AcceptWithWrongLength => {
                let headers = [&[STATUS_200], LENGTH_999].concat();
                self.write(HEADERS, END_HEADERS, stream, &headers).await?;
                self.write(DATA, LAST, stream, &name(stream)).await?;
            }
            Play::AcceptInPieces => {
                let body = name(stream);
                self.write(HEADERS, END_HEADERS, stream, &[STATUS_200]).await?;
                self.write(DATA, 0, stream, &body[..7]).await?;
                self.write(DATA, LAST, stream, &body[7..]).await?;
                self.write(PING, 0, 0, b"still up").await?;
            }
            Play::AcceptThen(setting) => {
                self.accept(stream).await?;
                self.settings(&[setting]).await?;
            }
            Play::GoAwayAfter(code) => return self.go_away(stream, code).await.map(Some),
            _ => self.accept(stream).await?,
        }
        self.open.remove(&stream);
        Ok(None)
    }

    async fn accept(&mut self, stream: u32) -> io::Result<()> {
        self.write(HEADERS, END_HEADERS, stream, &[STATUS_200]).await?;
        self.write(DATA, LAST, stream, &name(stream)).await
    }

    /// Says goodbye, answers what was begun up to `last`, and closes.
    async fn go_away(&mut self, last: u32, code: u32) -> io::Result<End> {
        let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
        self.write(GOAWAY, 0, 0, &payload).await?;
        let begun: Vec<u32> = self.open.keys().copied().filter(|stream| *stream <= last).collect();
        for stream in begun {
            self.accept(stream).await?;
        }
        self.socket.shutdown().await?;
        // The rest of what the client says is of no interest, and a socket closed over unread bytes would be reset.
        let mut rest = Vec::new();
        let reading = self.socket.read_to_end(&mut rest);
        let _ = tokio::time::timeout(Duration::from_secs(5), reading).await;
        Ok(End::Closed)
    }

    async fn settings(&mut self, settings: &[Setting]) -> io::Result<()> {
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|setting| {
                let (name, value): (u16, u32) = match *setting {
                    Setting::MaxConcurrentStreams(value) => (3, value),
                    Setting::InitialWindow(value) => (4, value),
                };
                [name.to_be_bytes().to_vec(), value.to_be_bytes().to_vec()].concat()
            })
            .collect();
        self.write(SETTINGS, 0, 0, &payload).await
    }

    async fn read(&mut self) -> io::Result<Frame> {
        let mut head = [0; 9];
        self.socket.read_exact(&mut head).await?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        self.socket.read_exact(&mut payload).await?;
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        Ok(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
        let head = [length[1], length[2], length[3], kind, flags];
        let frame = [&head[..], &stream.to_be_bytes(), payload].concat();
        self.socket.write_all(&frame).await?;
        self.socket.flush().await
    }
}

/// The body of an acceptance.
fn name(stream: u32) -> Vec<u8> {
    format!(r#"{{"name": "projects/{}/messages/road-{stream}"}}"#, super::PROJECT).into_bytes()
}
