//! Updates by Yellowstone gRPC.

use std::{
    collections::HashMap,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use solana_account::Account;
use solana_address::Address;
use yellowstone_grpc_client::{ClientTlsConfig, GeyserGrpcClient};
use yellowstone_grpc_proto::prelude::{
    CommitmentLevel, SubscribeRequest, SubscribeRequestFilterAccounts,
    SubscribeRequestFilterAccountsFilter, SubscribeRequestFilterAccountsFilterMemcmp,
    SubscribeRequestPing, SubscribeUpdateAccount,
    subscribe_request_filter_accounts_filter::Filter as AccountFilter,
    subscribe_request_filter_accounts_filter_memcmp::Data, subscribe_update::UpdateOneof,
};

use super::{
    feed::{Connector, NAP, Outlet, Update, Version, Wanted},
    source::{Filter, KLEND, redact},
};

/// Longest it may take to connect and to subscribe.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest update, bytes: accounts are at most 10 MiB.
const MAX_MESSAGE: usize = 16 << 20;
/// Number of the ping that follows the subscription.
const SUBSCRIBED: i32 = 1;

/// A Yellowstone gRPC endpoint.
pub struct Geyser {
    url: String,
    token: Option<String>,
    silence: Duration,
    patience: Duration,
}

impl Geyser {
    /// The clock may be silent for `silence` before the stream is given up.
    pub fn new(url: String, token: Option<String>, silence: Duration) -> Self {
        Self { url, token, silence, patience: PATIENCE }
    }

    async fn follow(&self, wanted: &Wanted, outlet: &Outlet<'_>, stop: &AtomicBool) -> Result<()> {
        let mut builder = GeyserGrpcClient::build_from_shared(self.url.clone())?
            .x_token(self.token.clone())?
            .connect_timeout(PATIENCE)
            .tcp_nodelay(true)
            .max_decoding_message_size(MAX_MESSAGE);
        if self.url.starts_with("https://") {
            builder = builder.tls_config(ClientTlsConfig::new().with_native_roots())?;
        }
        let begun = Instant::now();
        let in_time = || -> Result<()> {
            if begun.elapsed() >= self.patience {
                bail!("the endpoint has not subscribed after {} ms", self.patience.as_millis());
            }
            Ok(())
        };
        let mut subscribing = pin!(async {
            let mut client = builder.connect().await?;
            let (mut requests, updates) =
                client.subscribe_with_request(Some(subscription(wanted))).await?;
            // Requests are handled in order: its answer says that the first one was.
            requests.send(ping(SUBSCRIBED)).await?;
            anyhow::Ok((requests, updates))
        });
        let (mut requests, mut updates) = loop {
            if let Ok(subscribed) = tokio::time::timeout(NAP, subscribing.as_mut()).await {
                break subscribed?;
            }
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            in_time()?;
        };

        let mut connected = false;
        while !stop.load(Ordering::Relaxed) {
            let update = tokio::time::timeout(NAP, updates.next()).await;
            if connected {
                outlet.check()?
            } else {
                in_time()?
            }
            let Ok(update) = update else { continue };
            let update = update.context("the endpoint ended the stream")??;
            match update.update_oneof {
                Some(UpdateOneof::Account(update)) => {
                    if !std::mem::replace(&mut connected, true) {
                        outlet.tell(Update::Connected)?;
                    }
                    outlet.tell(account(update)?)?;
                }
                Some(UpdateOneof::Pong(pong)) if pong.id == SUBSCRIBED && !connected => {
                    connected = true;
                    outlet.tell(Update::Connected)?;
                }
                // Whoever is not answered may close the connection.
                Some(UpdateOneof::Ping(_)) => requests.send(ping(0)).await?,
                _ => {}
            }
        }
        Ok(())
    }
}

impl Connector for Geyser {
    fn name(&self) -> String {
        redact(&self.url)
    }

    fn silence(&self) -> Duration {
        self.silence
    }

    fn run(&mut self, wanted: &Wanted, outlet: &Outlet<'_>, stop: &AtomicBool) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime
            .block_on(self.follow(wanted, outlet, stop))
            .map_err(|error| anyhow!(redact(&format!("{error:#}"))))
    }
}

fn ping(id: i32) -> SubscribeRequest {
    SubscribeRequest { ping: Some(SubscribeRequestPing { id }), ..SubscribeRequest::default() }
}

fn subscription(wanted: &Wanted) -> SubscribeRequest {
    let of_klend = |filter: &Filter| SubscribeRequestFilterAccounts {
        owner: vec![KLEND.to_string()],
        filters: account_filters(filter),
        ..SubscribeRequestFilterAccounts::default()
    };
    let single = SubscribeRequestFilterAccounts {
        account: wanted.singles().iter().map(ToString::to_string).collect(),
        ..SubscribeRequestFilterAccounts::default()
    };
    let mut accounts: HashMap<String, SubscribeRequestFilterAccounts> = wanted
        .filters()
        .enumerate()
        .map(|(number, filter)| (format!("klend {number}"), of_klend(&filter)))
        .collect();
    accounts.insert("single".to_owned(), single);
    SubscribeRequest {
        accounts,
        commitment: Some(CommitmentLevel::Confirmed.into()),
        ..SubscribeRequest::default()
    }
}

fn account_filters(filter: &Filter) -> Vec<SubscribeRequestFilterAccountsFilter> {
    let memcmp = |(offset, bytes): (usize, &[u8])| {
        let data = Some(Data::Bytes(bytes.to_vec()));
        let memcmp = SubscribeRequestFilterAccountsFilterMemcmp { offset: offset as u64, data };
        SubscribeRequestFilterAccountsFilter { filter: Some(AccountFilter::Memcmp(memcmp)) }
    };
    filter.compared().map(memcmp).collect()
}

fn account(update: SubscribeUpdateAccount) -> Result<Update> {
    let info = update.account.context("an update of an account without the account")?;
    let address = |bytes: &[u8]| -> Result<Address> {
        let bytes: [u8; 32] =
            bytes.try_into().with_context(|| format!("an address of {} bytes", bytes.len()))?;
        Ok(Address::new_from_array(bytes))
    };
    Ok(Update::Account {
        key: address(&info.pubkey)?,
        version: Version { slot: update.slot, write: info.write_version },
        account: Account {
            lamports: info.lamports,
            owner: address(&info.owner)?,
            executable: info.executable,
            rent_epoch: info.rent_epoch,
            data: info.data,
        },
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use fault_proxy::geyser::{self, Reply};
    use futures_util::stream;
    use yellowstone_grpc_proto::tonic::Status;

    use super::*;
    use crate::feeds::horizon::Horizon;

    /// What an endpoint does with a subscription.
    #[derive(Clone, Copy)]
    enum Script {
        /// Answers its ping, tells of one account, and breaks off.
        BreaksOff,
        /// Does not answer at all.
        Hangs,
        /// Takes it, and does not answer its ping.
        NeverSubscribes,
        /// Answers its ping and tells nothing.
        Silent,
        /// Tells of the clock of the same slot, again and again.
        Clock(u64),
    }

    /// Serves an endpoint on loopback; returns its URL and what is subscribed.
    fn serve(script: Script) -> (String, mpsc::Receiver<SubscribeRequest>) {
        let (sender, subscribed) = mpsc::channel();
        let sender = Mutex::new(sender);
        let url = geyser::serve(move |token, request| {
            assert_eq!(token, Some("token"));
            sender.lock().unwrap().send(request).unwrap();
            let account =
                Account { lamports: 3, data: vec![1, 2], owner: key(6), ..Account::default() };
            let written = move |slot, at: Address| geyser::written(slot, 9, &at, &account);
            match script {
                Script::Hangs => Reply::Hangs { is_taken: false },
                Script::NeverSubscribes => Reply::Hangs { is_taken: true },
                Script::Silent => Reply::Tells(Box::pin(stream::pending())),
                Script::BreaksOff => Reply::Tells(Box::pin(stream::iter([
                    written(7, key(5)),
                    Err(Status::unavailable("going down")),
                ]))),
                Script::Clock(slot) => {
                    let clock = written(slot, solana_sdk_ids::sysvar::clock::ID);
                    Reply::Tells(Box::pin(stream::repeat(clock).then(|clock| async {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                        clock
                    })))
                }
            }
        });
        (url, subscribed)
    }

    fn key(byte: u8) -> Address {
        Address::new_from_array([byte; 32])
    }

    #[test]
    fn a_broken_stream_is_subscribed_to_again() {
        let (url, subscribed) = serve(Script::BreaksOff);
        let wanted = Wanted { markets: vec![key(1)], accounts: vec![key(2)], ..Wanted::default() };
        let (sender, heard) = mpsc::channel();
        let geyser = Box::new(Geyser::new(url, Some("token".to_owned()), Duration::from_secs(30)));
        let take = move |update| sender.send(update).is_ok();
        let feed = super::super::feed::start(vec![geyser], wanted, Default::default(), take);
        let next = || heard.recv_timeout(Duration::from_secs(30)).unwrap();
        for _ in 0..2 {
            // The server may need a moment to listen.
            let connected = std::iter::repeat_with(next)
                .find(|update| !matches!(update, Update::Lost { .. }))
                .unwrap();
            assert!(matches!(connected, Update::Connected), "{connected:?}");
            let written = next();
            assert!(matches!(written, Update::Account { key: at, .. } if at == key(5)));
            let Update::Lost { reason, .. } = next() else { panic!("it broke off") };
            assert!(reason.contains("going down"), "{reason}");
        }
        // With the same wishes as before.
        let requests = [subscribed.recv().unwrap(), subscribed.recv().unwrap()];
        assert_eq!(requests[0], requests[1]);
        drop(feed);
    }

    #[test]
    fn a_stream_that_stands_and_says_nothing_new_is_given_up() {
        const NEWEST: u64 = 10_000;
        for (script, connects, why) in [
            (Script::Hangs, false, "has not subscribed after 400 ms"),
            (Script::NeverSubscribes, false, "has not subscribed after 400 ms"),
            (Script::Silent, true, "the clock has not changed for 300 ms"),
            (Script::Clock(NEWEST - 200), true, "slot 9800 and older for 300 ms"),
            (Script::Clock(1 << 63), true, "no cluster has come"),
        ] {
            let (url, _subscribed) = serve(script);
            let horizon = std::sync::Arc::new(Horizon::default());
            horizon.take(NEWEST).unwrap();
            let (sender, heard) = mpsc::channel();
            let mut geyser = Geyser::new(url, Some("token".to_owned()), Duration::from_millis(300));
            geyser.patience = Duration::from_millis(400);
            let take = move |update| sender.send(update).is_ok();
            let geyser = Box::new(geyser);
            let _feed = super::super::feed::start(vec![geyser], Wanted::default(), horizon, take);
            let (mut has_connected, mut reasons) = (false, Vec::new());
            // The server may need a moment to listen.
            while !reasons.iter().any(|reason: &String| reason.contains(why)) {
                match heard.recv_timeout(Duration::from_secs(30)) {
                    Ok(Update::Connected) => has_connected = true,
                    Ok(Update::Lost { reason, .. }) => reasons.push(reason),
                    Ok(Update::Account { .. }) => {}
                    Err(_) => panic!("{why}: {reasons:?}"),
                }
            }
            assert_eq!(has_connected, connects, "{why}");
        }
        // One that says what is new stands, though it says the same.
        let (url, _subscribed) = serve(Script::Clock(NEWEST));
        let (sender, heard) = mpsc::channel();
        let geyser = Geyser::new(url, Some("token".to_owned()), Duration::from_millis(300));
        let take = move |update| sender.send(update).is_ok();
        let wanted = Wanted::default();
        let _feed =
            super::super::feed::start(vec![Box::new(geyser)], wanted, Default::default(), take);
        let connected = heard.iter().find(|update| matches!(update, Update::Connected));
        assert!(connected.is_some());
        let until = Instant::now() + Duration::from_millis(900);
        while Instant::now() < until {
            let update = heard.recv_timeout(Duration::from_secs(30)).unwrap();
            assert!(matches!(update, Update::Account { .. }), "{update:?}");
        }
    }

    #[test]
    fn an_endpoint_is_subscribed_to_and_its_updates_are_read() {
        let (url, subscribed) = serve(Script::BreaksOff);
        let wanted =
            Wanted { markets: vec![key(1)], accounts: vec![key(2), key(3)], ..Wanted::default() };
        let heard = Mutex::new(Vec::new());
        let take = |update: Update| {
            heard.lock().unwrap().push(update);
            Ok(())
        };
        let horizon = Horizon::default();
        let outlet = Outlet::new(&take, &horizon, Duration::from_secs(30));
        let mut geyser = Geyser::new(url, Some("token".to_owned()), Duration::from_secs(30));
        let stop = AtomicBool::new(false);
        // The server may need a moment to listen.
        let ended = (0..100)
            .find_map(|_| {
                let error = geyser.run(&wanted, &outlet, &stop).unwrap_err();
                std::thread::sleep(Duration::from_millis(20));
                error.to_string().contains("going down").then_some(error)
            })
            .expect("the endpoint answers");
        assert!(ended.to_string().contains("going down"), "{ended}");

        let heard = heard.into_inner().unwrap();
        let [Update::Connected, Update::Account { key: at, version, account }] = &heard[..] else {
            panic!("{heard:?}")
        };
        assert_eq!((*at, *version), (key(5), Version { slot: 7, write: 9 }));
        assert_eq!((account.owner, account.lamports, &account.data[..]), (key(6), 3, &[1, 2][..]));

        let request = subscribed.recv().unwrap();
        let clock = solana_sdk_ids::sysvar::clock::ID;
        let singles = [key(2), key(3), clock].map(|key| key.to_string());
        assert_eq!(request.accounts["single"].account, singles);
        let obligations = &request.accounts["klend 0"];
        assert_eq!(obligations.owner, [KLEND.to_string()]);
        let memcmp = SubscribeRequestFilterAccountsFilterMemcmp {
            offset: 32,
            data: Some(Data::Bytes(vec![1; 32])),
        };
        assert_eq!(obligations.filters[1].filter, Some(AccountFilter::Memcmp(memcmp)));
        assert_eq!(request.commitment, Some(CommitmentLevel::Confirmed.into()));
    }
}
