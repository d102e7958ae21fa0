//! The wire between a client and a server, with a test's hand on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::RedisServer;

#[derive(Debug)]
struct Hand {
    /// The answer that is lost, and the connection with it: the next one, the one after it…; none if zero.
    cuts: AtomicUsize,
    cut: AtomicUsize,
    frozen: watch::Sender<bool>,
}

/// Passes on what client and server say until it is told otherwise.
#[derive(Debug)]
pub struct Wire {
    port: u16,
    hand: Arc<Hand>,
    _passing: JoinSet<()>,
}

impl Wire {
    /// A wire to `server`.
    pub async fn to(server: &RedisServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let frozen = watch::Sender::new(false);
        let hand = Arc::new(Hand { cuts: AtomicUsize::new(0), cut: AtomicUsize::new(0), frozen });
        let (to, own) = (server.port, Arc::clone(&hand));
        let mut passing = JoinSet::new();
        passing.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let hand = Arc::clone(&own);
                connections.spawn(async move {
                    if let Ok(server) = TcpStream::connect(("127.0.0.1", to)).await {
                        pass(client, server, &hand).await;
                    }
                });
            }
        });
        Self { port, hand, _passing: passing }
    }

    /// `redis://…`
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Loses the `nth` answer from now on that the server gives, and the connection with it: the client cannot know what
    /// became of its command.
    pub fn cut_answer(&self, nth: usize) {
        self.hand.cuts.store(nth, Ordering::SeqCst);
    }

    /// How many answers were lost.
    pub fn cut(&self) -> usize {
        self.hand.cut.load(Ordering::SeqCst)
    }

    /// Passes nothing on, and closes nothing either: what a broken network looks like.
    pub fn freeze(&self, frozen: bool) {
        self.hand.frozen.send_replace(frozen);
    }
}

/// How the server tells a subscriber of a message: that is no answer.
const MESSAGE: &[u8] = b"*3\r\n$7\r\nmessage";

impl Hand {
    /// Whether these bytes of the server are lost.
    fn loses(&self, said: &[u8]) -> bool {
        if said.starts_with(MESSAGE) {
            return false;
        }
        let counted = self.cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        let lost = counted == Ok(1);
        self.cut.fetch_add(usize::from(lost), Ordering::SeqCst);
        lost
    }
}

async fn pass(mut client: TcpStream, mut server: TcpStream, hand: &Hand) {
    let mut frozen = hand.frozen.subscribe();
    let (mut asked, mut said) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        if frozen.wait_for(|frozen| !frozen).await.is_err() {
            return;
        }
        tokio::select! {
            read = client.read(&mut asked) => match read {
                Ok(1..) if *frozen.borrow() => continue,
                Ok(length @ 1..) => if server.write_all(&asked[..length]).await.is_err() { return },
                _ => return,
            },
            read = server.read(&mut said) => match read {
                Ok(length @ 1..) if hand.loses(&said[..length]) => return,
                Ok(length @ 1..) => if client.write_all(&said[..length]).await.is_err() { return },
                _ => return,
            },
            _ = frozen.changed() => {}
        }
    }
}
