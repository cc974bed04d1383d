//! A proxy of a node's websocket that lets things go wrong.

use std::{
    collections::VecDeque,
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tungstenite::{Error, Message, WebSocket};

use crate::{FAR_FUTURE, in_dialect, locked};

/// Pause between two looks at both ends when neither said anything.
const NAP: Duration = Duration::from_millis(3);

/// What goes wrong with the connections of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Connections end, and new ones are refused.
    Refused,
    /// Connections end, and may be made again at once.
    Cut,
    /// Pings are answered; nothing is told.
    Silent,
    /// Subscriptions to programs are dead, those to accounts live on.
    DeadPrograms,
    /// Everything is told so much later.
    Late(Duration),
    /// What is told has come to pass long ago, as its slot says.
    OldSlots,
    /// What is told is of a slot that is not to come.
    FarFuture,
    /// Numbers as JavaScript rounds them, names as text, pings and notifications that
    /// nobody asked for in between.
    Dialect,
    /// Half of a message.
    Truncated,
}

struct Trouble {
    fault: Fault,
    begun: Instant,
    end: Instant,
    met: Arc<AtomicUsize>,
}

type Troubles = Arc<Mutex<Vec<Trouble>>>;

/// A running proxy.
pub struct SocketProxy {
    url: String,
    troubles: Troubles,
}

impl SocketProxy {
    /// Passes messages on to and from the node's websocket at `node`.
    pub fn to(node: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("ws://{}", listener.local_addr()?);
        let troubles = Troubles::default();
        let shared = Arc::clone(&troubles);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let troubles = Arc::clone(&shared);
                // Either end may hang up at any time, which ends it.
                thread::spawn(move || drop(Bridge::new(stream, node, troubles).map(Bridge::run)));
            }
        });
        Ok(Self { url, troubles })
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Lets something go wrong for a while, with what is said from now on. Returns the
    /// count of messages, or of connections, that it happens to.
    pub fn during(&self, fault: Fault, length: Duration) -> Arc<AtomicUsize> {
        let met = Arc::<AtomicUsize>::default();
        let begun = Instant::now();
        let trouble = Trouble { fault, begun, end: begun + length, met: Arc::clone(&met) };
        locked(&self.troubles).push(trouble);
        met
    }

    /// Lets nothing more go wrong.
    pub fn clear(&self) {
        locked(&self.troubles).clear();
    }
}

/// What goes wrong now, with a connection that began `since`; counted where `concerns`
/// says that it is met.
fn now(
    troubles: &Mutex<Vec<Trouble>>,
    since: Instant,
    concerns: impl Fn(Fault) -> bool,
) -> Vec<Fault> {
    let (mut troubles, now) = (locked(troubles), Instant::now());
    troubles.retain(|trouble| trouble.end > now);
    // A connection that was made anew is not cut once more.
    let is_met = |trouble: &&Trouble| {
        concerns(trouble.fault) && (trouble.fault != Fault::Cut || since < trouble.begun)
    };
    let met = troubles.iter().filter(is_met);
    met.map(|trouble| {
        trouble.met.fetch_add(1, Ordering::Relaxed);
        trouble.fault
    })
    .collect()
}

/// A connection of the keeper's, and the one to the node that belongs to it.
struct Bridge {
    keeper: WebSocket<TcpStream>,
    node: WebSocket<TcpStream>,
    since: Instant,
    troubles: Troubles,
    /// What is told later, in order.
    late: VecDeque<(Instant, String)>,
}

impl Bridge {
    fn new(stream: TcpStream, node: SocketAddr, troubles: Troubles) -> Option<Self> {
        let since = Instant::now();
        if !now(&troubles, since, |fault| fault == Fault::Refused).is_empty() {
            return None;
        }
        let keeper = tungstenite::accept(stream).ok()?;
        let upstream = TcpStream::connect(node).ok()?;
        let (node, _) = tungstenite::client(format!("ws://{node}"), upstream).ok()?;
        for socket in [&keeper, &node] {
            socket.get_ref().set_nodelay(true).ok()?;
            socket.get_ref().set_nonblocking(true).ok()?;
        }
        Some(Self { keeper, node, since, troubles, late: VecDeque::new() })
    }

    fn run(mut self) -> tungstenite::Result<()> {
        loop {
            let ends = |fault| matches!(fault, Fault::Refused | Fault::Cut);
            if !now(&self.troubles, self.since, ends).is_empty() {
                return Ok(());
            }
            let mut is_idle = true;
            while let Some(message) = heard(&mut self.node)? {
                is_idle = false;
                match message {
                    Message::Text(text) => self.tell(&text)?,
                    Message::Close(_) => return Ok(()),
                    _ => {}
                }
            }
            while self.late.front().is_some_and(|(due, _)| *due <= Instant::now()) {
                if let Some((_, text)) = self.late.pop_front() {
                    said(self.keeper.write(Message::text(text)))?;
                }
            }
            // Pings are answered by the library.
            while let Some(message) = heard(&mut self.keeper)? {
                is_idle = false;
                match message {
                    Message::Text(_) => said(self.node.write(message))?,
                    Message::Close(_) => return Ok(()),
                    _ => {}
                }
            }
            said(self.node.flush())?;
            said(self.keeper.flush())?;
            if is_idle {
                thread::sleep(NAP);
            }
        }
    }

    /// Passes on what the node says, or what becomes of it.
    fn tell(&mut self, text: &str) -> tungstenite::Result<()> {
        let mut message: Value = serde_json::from_str(text).unwrap_or_default();
        let is_program = message["method"] == "programNotification";
        let is_notification = message.get("params").is_some();
        let faults = now(&self.troubles, self.since, |fault| match fault {
            Fault::Refused | Fault::Cut => false,
            Fault::DeadPrograms => is_program,
            Fault::Dialect => true,
            _ => is_notification,
        });
        let (mut sent, mut pause) = (text.to_owned(), Duration::ZERO);
        for fault in faults {
            match fault {
                Fault::Refused | Fault::Cut => {}
                Fault::Silent | Fault::DeadPrograms => return Ok(()),
                Fault::Late(by) => pause = by,
                Fault::OldSlots | Fault::FarFuture => {
                    if let Some(slot) = message.pointer_mut("/params/result/context/slot") {
                        let old = slot.as_u64().unwrap_or_default().saturating_sub(200);
                        *slot = json!(if fault == Fault::OldSlots { old } else { FAR_FUTURE });
                    }
                    sent = message.to_string();
                }
                Fault::Dialect => {
                    in_dialect(&mut message);
                    let names = ["/id", "/params/subscription"];
                    let is_confirmation = message.get("result").is_some();
                    for name in names.into_iter().chain(is_confirmation.then_some("/result")) {
                        if let Some(name) = message.pointer_mut(name) {
                            *name = json!(name.as_str().map_or(name.to_string(), str::to_owned));
                        }
                    }
                    let ping = json!({ "jsonrpc": "2.0", "method": "ping", "id": null });
                    let slot = json!({ "method": "slotNotification", "params": {
                        "subscription": 0, "result": { "parent": 1, "root": 0, "slot": 2 },
                    }});
                    for between in [ping.to_string(), "pong".to_owned(), slot.to_string()] {
                        said(self.keeper.write(Message::text(between)))?;
                    }
                    sent = message.to_string();
                }
                Fault::Truncated => sent.truncate(sent.len() / 2),
            }
        }
        if pause.is_zero() && self.late.is_empty() {
            return said(self.keeper.write(Message::text(sent)));
        }
        self.late.push_back((Instant::now() + pause, sent));
        Ok(())
    }
}

/// What is there to be read, if anything is.
fn heard(socket: &mut WebSocket<TcpStream>) -> tungstenite::Result<Option<Message>> {
    match socket.read() {
        Ok(message) => Ok(Some(message)),
        Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// What cannot go out yet is kept, and goes out with the next flush.
fn said(result: tungstenite::Result<()>) -> tungstenite::Result<()> {
    match result {
        Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        result => result,
    }
}
