//! Signed bytes, by every road at once.
//!
//! A road is a node (`sendTransaction`) or a block engine (`sendBundle`). All of them
//! get the same bytes, each from a thread of its own, so that none waits for another.
//! That a road accepts them says nothing yet: whether they landed, the chain tells.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::Duration,
};

use anyhow::Result;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

use crate::feeds::source::{Cure, Refused, Rpc, Source as _, nodes::Role};

/// Longest a road may take to answer, before the bytes are handed to it again.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a road takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Transactions.
    Node,
    /// Bundles; this one is of one transaction.
    Engine,
}

/// A way to the leaders.
#[derive(Clone)]
pub struct Road {
    /// For logs, without secrets.
    pub name: String,
    /// What it takes.
    pub kind: Kind,
    rpc: Arc<Rpc>,
}

impl Road {
    fn new(kind: Kind, rpc: Arc<Rpc>) -> Self {
        let name = rpc.name();
        let name = match kind {
            Kind::Node => name,
            Kind::Engine => name.replacen("RPC node", "block engine", 1),
        };
        Self { name, kind, rpc }
    }

    /// A road to each node of `rpc` that takes transactions.
    pub fn all(kind: Kind, rpc: &Rpc) -> Vec<Self> {
        let each = rpc.each(Role::Send, PATIENCE).into_iter();
        each.map(|rpc| Self::new(kind, Arc::new(rpc))).collect()
    }

    fn send(&self, bytes: &[u8]) -> Answer {
        let answer: Result<String> = match self.kind {
            Kind::Node => self.rpc.send(bytes),
            Kind::Engine => {
                let params = json!([[STANDARD.encode(bytes)], { "encoding": "base64" }]);
                self.rpc.call_once("sendBundle", &params)
            }
        };
        match answer {
            Ok(named) => Answer::Accepted(named),
            Err(error) => match error.chain().find_map(|cause| cause.downcast_ref::<Refused>()) {
                Some(refused @ Refused { code, message, .. }) => {
                    Answer::Refused { code: *code, message: message.clone(), cure: refused.cure() }
                }
                None => Answer::Failed(format!("{error:#}")),
            },
        }
    }
}

/// What a road said to signed bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It took them, and gave them this name.
    Accepted(String),
    /// It did not take them, and what may help.
    Refused { code: i64, message: String, cure: Cure },
    /// It may have taken them: there was no answer, or none that is understood.
    Failed(String),
}

/// Roads with the same bytes under way.
pub struct Convoy<'a> {
    roads: &'a [Road],
    bytes: Arc<[u8]>,
    answered: Sender<(usize, Answer)>,
    answers: Receiver<(usize, Answer)>,
    /// Roads that have not answered yet.
    waiting: Vec<bool>,
    /// What each said last, and whether it may have taken the bytes before.
    heard: BTreeMap<usize, Answer>,
    may_have: Vec<bool>,
}

impl<'a> Convoy<'a> {
    /// Nothing is sent yet.
    pub fn new(roads: &'a [Road], bytes: Vec<u8>) -> Self {
        let (answered, answers) = mpsc::channel();
        Self {
            roads,
            bytes: bytes.into(),
            answered,
            answers,
            waiting: vec![false; roads.len()],
            heard: BTreeMap::new(),
            may_have: vec![false; roads.len()],
        }
    }

    /// Hands the bytes to every road that is not busy with them.
    pub fn send(&mut self) {
        for (at, road) in self.roads.iter().enumerate() {
            if std::mem::replace(&mut self.waiting[at], true) {
                continue;
            }
            let (road, bytes, answers) =
                (road.clone(), Arc::clone(&self.bytes), self.answered.clone());
            let sending = move || {
                // Whoever asked may have gone on.
                let _ = answers.send((at, road.send(&bytes)));
            };
            if let Err(reason) = thread::Builder::new().spawn(sending) {
                // Next time: what is short now may not be then.
                let failed = Answer::Failed(format!("no thread to send from: {reason}"));
                let _ = self.answered.send((at, failed));
            }
        }
    }

    /// Takes in what has been answered; returns what is new.
    pub fn listen(&mut self) -> Vec<(&'a str, Answer)> {
        let mut news = Vec::new();
        while let Ok((at, answer)) = self.answers.try_recv() {
            self.waiting[at] = false;
            self.may_have[at] |= !matches!(answer, Answer::Refused { .. });
            if self.heard.insert(at, answer.clone()).as_ref() != Some(&answer) {
                news.push((&*self.roads[at].name, answer));
            }
        }
        news
    }

    /// The last refusal, if every road refused the transaction itself and none can have
    /// taken it. A road that is busy or sick may take it later.
    pub fn refused(&self) -> Option<(i64, &str)> {
        let mut last = None;
        for at in 0..self.roads.len() {
            match self.heard.get(&at) {
                Some(Answer::Refused { code, message, cure: Cure::Never | Cure::Smaller })
                    if !self.may_have[at] && !self.waiting[at] =>
                {
                    last = Some((*code, &**message));
                }
                _ => return None,
            }
        }
        last
    }

    /// What every road said last, by name; `None` for silence.
    pub fn fates(&self) -> Vec<(&'a str, Option<Answer>)> {
        let fate = |(at, road): (usize, &'a Road)| (&*road.name, self.heard.get(&at).cloned());
        self.roads.iter().enumerate().map(fate).collect()
    }
}
