//! The keeper's commands, in the order a keeper needs them.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use flash_liquidator_client::klend::ReserveAddresses;
use klend_model::accounts;
use serde_json::Value;
use solana_address::Address;
use solana_signer::Signer;

use crate::{
    chain::Chain,
    distance,
    keeper::{Keeper, WATCH, amount, at, message, text, wait_for},
    oracle::Oracle,
    positions::{Opening, held},
    report::Report,
    scene::{DEPOSIT, Scene},
    server::Server,
};

/// Exit code of the keeper when there was nothing to do.
const NOTHING_TO_DO: i32 = 3;
/// What the positions owe, per cent of their collateral's first price: one that a fall
/// by a fifth makes unhealthy, one that takes a fall by 30 %, one that stays healthy.
const LOANS_TO_VALUE: [u64; 3] = [62, 55, 30];
/// SOL's price after the first fall, per cent of the one before. Pools sell at that.
const FIRST_FALL: u64 = 80;
/// After the second, per cent of the one before.
const SECOND_FALL: u64 = 88;
/// Deadline of what is sent, slots. Slots here are short, and the machine may be busy.
const DEADLINE: &str = "150";
/// Looks after which `watch` would end by itself, should this program vanish.
const WATCH_PASSES: &str = "600";
/// How long a retired lookup table may take until it can be closed.
const RETIREMENT: Duration = Duration::from_secs(400);

/// A position on the cluster.
struct Position {
    obligation: Address,
    debt: ReserveAddresses,
}

/// Does everything; what cannot be done is in the report.
pub fn run(report: &mut Report, scene: &mut Scene, server: &Server, binary: &Path) {
    let chain = &server.chain;
    let keeper = Keeper::new(binary, "--rpc", &server.url, &scene.folder);

    let oracle = report.step("publish prices", || {
        Ok((Oracle::start(scene, &server.url)?, "every 30 s, by transactions".to_owned()))
    });
    let Some(oracle) = oracle else { return };
    let positions = report.step("open positions with klend's instructions", || {
        let price = scene.world.price(&scene.sol.reserve)?.to_f64();
        let debts = [scene.usdc, scene.pyusd, scene.usdc];
        let mut positions = Vec::new();
        for ((borrower, debt), percent) in scene.borrowers.iter().zip(debts).zip(LOANS_TO_VALUE) {
            // Both debts have six decimals and are worth a dollar; lamports have nine.
            let owed = (DEPOSIT as f64 / 1e9 * price * 1e6) as u64 / 100 * percent;
            let opening =
                Opening { collateral: scene.sol, debt, deposited: DEPOSIT, borrowed: owed };
            let obligation = opening.of(chain, borrower)?;
            positions.push(Position { obligation, debt });
        }
        let positions: [Position; 3] = positions.try_into().ok().context("three positions")?;
        Ok((positions, "1,000 SOL each; 62 % in USDC, 55 % in PYUSD, 30 % in USDC".to_owned()))
    });
    let Some(positions) = positions else { return };
    let [first, second, careful] = &positions;

    look(report, scene, &keeper, &positions);
    report.step("liquidate: healthy", || {
        let key = scene.keeper_file.display().to_string();
        let obligation = first.obligation.to_string();
        let ended = keeper.run(&["liquidate", &obligation, "--keypair", &key])?;
        ensure!(ended.code == NOTHING_TO_DO, "exit code {}: {}", ended.code, ended.errors);
        Ok(((), format!("exit code {NOTHING_TO_DO}: {}", first_line(&ended.errors))))
    });
    let table = set_up(report, scene, chain, &keeper);

    report.step("price falls", || {
        let price = oracle.move_sol(scene, chain, FIRST_FALL)?;
        Ok(((), format!("SOL at ${price:.2}")))
    });
    report.step("scan: one is unhealthy", || {
        let found = keeper.json(&["scan"])?;
        ensure!(amount(&found, "/unhealthy")? == 1, "{found}");
        let worst = text(&found, "/obligations/0/obligation")?;
        ensure!(worst == first.obligation.to_string(), "{worst} is the closest to liquidation");
        Ok(((), format!("health factor {:.4}", number(&found, "/obligations/0/healthFactor")?)))
    });
    report.step("quote", || {
        let quote = keeper.json(&["quote", &first.obligation.to_string()])?;
        let profit = amount(&quote, "/profit")?;
        ensure!(profit > 0, "{quote}");
        let lender = text(&quote, "/flashReserve")?;
        Ok(((), format!("repay {}, profit {profit}, loan from {lender}", text(&quote, "/repay")?)))
    });
    if let Some(table) = &table {
        liquidate(report, scene, chain, &keeper, first, table);
        fork(report, &keeper, scene, first);
        distance::run(report, scene, server, &keeper, &oracle, table);
        watch(report, scene, server, &keeper, &oracle, [second, careful], table);
        undo(report, scene, chain, &keeper, table);
    }
}

/// Commands that only read.
fn look(report: &mut Report, scene: &Scene, keeper: &Keeper, positions: &[Position; 3]) {
    report.step("market", || {
        let market = keeper.json(&["market"])?;
        let reserves = at(&market, "/reserves")?.as_array().map_or(0, Vec::len);
        ensure!(reserves == 4 && at(&market, "/refused")?.as_array() == Some(&vec![]), "{market}");
        keeper.shows(&["market"], &["USDC", "SOL", "JITOSOL", "PYUSD"])?;
        Ok(((), format!("{reserves} reserves, none refused")))
    });
    report.step("reserve", || {
        let key = scene.sol.reserve.to_string();
        let reserve = keeper.json(&["reserve", &key])?;
        let price = scene.world.price(&scene.sol.reserve)?.to_f64();
        ensure!(text(&reserve, "/symbol")? == "SOL", "{reserve}");
        ensure!((number(&reserve, "/price")? - price).abs() < 1e-6, "{reserve}");
        let pyusd = keeper.json(&["reserve", &scene.pyusd.reserve.to_string()])?;
        let borrowed = amount(&pyusd, "/borrowed")?;
        ensure!(borrowed > 60_000_000_000_000, "what was borrowed is not there: {pyusd}");
        keeper.shows(&["reserve", &key], &["SOL"])?;
        Ok(((), format!("SOL at ${price:.2}; PYUSD borrowed {borrowed}")))
    });
    report.step("scan: all are healthy", || {
        let found = keeper.json(&["scan"])?;
        let [read, unhealthy] = [amount(&found, "/read")?, amount(&found, "/unhealthy")?];
        ensure!((read, unhealthy) == (3, 0), "{found}");
        Ok(((), format!("{read} obligations, {unhealthy} unhealthy")))
    });
    report.step("obligation", || {
        let mut seen = Vec::new();
        for (position, percent) in positions.iter().zip(LOANS_TO_VALUE) {
            let obligation = keeper.json(&["obligation", &position.obligation.to_string()])?;
            ensure!(at(&obligation, "/unhealthy")? == false, "{obligation}");
            let ratio =
                number(&obligation, "/borrowedValue")? / number(&obligation, "/depositedValue")?;
            ensure!((ratio * 100.0 - percent as f64).abs() < 0.1, "{percent} %: {obligation}");
            seen.push(format!("{:.2} %", ratio * 100.0));
        }
        Ok(((), format!("loan to value {}", seen.join(", "))))
    });
}

/// `setup`, first without and then with consent; returns the lookup table.
fn set_up(report: &mut Report, scene: &Scene, chain: &Chain, keeper: &Keeper) -> Option<String> {
    let key = scene.keeper_file.display().to_string();
    report.step("setup: costs", || {
        let before = chain.lamports(&scene.keeper.pubkey())?;
        let costs = keeper.json(&["setup", "--keypair", &key])?;
        ensure!(at(&costs, "/done")? == false, "{costs}");
        ensure!(chain.lamports(&scene.keeper.pubkey())? == before, "it did something");
        Ok((
            (),
            format!(
                "{} token accounts, {} addresses, {} lamports; nothing was done",
                at(&costs, "/tokenAccounts")?,
                at(&costs, "/tableAddresses")?,
                amount(&costs, "/tokenAccountRent")? + amount(&costs, "/tableRent")?,
            ),
        ))
    });
    report.step("setup --yes", || {
        let before = chain.lamports(&scene.keeper.pubkey())?;
        let done = keeper.json(&["setup", "--keypair", &key, "--yes"])?;
        ensure!(at(&done, "/finalized")? == true, "{done}");
        let table = text(&done, "/tables/0")?.to_owned();
        ensure!(done.pointer("/tables/1").is_none(), "more than one table: {done}");
        let account = chain.wanted("lookup table", &table.parse()?)?;
        ensure!(account.owner == solana_sdk_ids::address_lookup_table::ID, "{account:?}");
        let debt = keeper_account(scene, &scene.usdc);
        chain.wanted("the keeper's USDC account", &debt)?;
        let paid = before - chain.lamports(&scene.keeper.pubkey())?;
        let seen = format!("table {table}, {} bytes, paid {paid} lamports", account.data.len());
        Ok((table, seen))
    })
}

/// `liquidate` on the first position, and `explain` on what it sent.
fn liquidate(
    report: &mut Report,
    scene: &Scene,
    chain: &Chain,
    keeper: &Keeper,
    position: &Position,
    table: &str,
) {
    let key = scene.keeper_file.display().to_string();
    let obligation = position.obligation.to_string();
    let args = [
        "liquidate",
        &obligation,
        "--keypair",
        &key,
        "--table",
        table,
        "--deadline-slots",
        DEADLINE,
    ];
    report.step("liquidate --dry-run", || {
        let (wallet, debt) = (scene.keeper.pubkey(), owed(chain, position)?);
        let before = chain.lamports(&wallet)?;
        let simulated = keeper.json(&[&args[..], &["--dry-run"]].concat())?;
        ensure!(text(&simulated, "/simulation/outcome")? == "succeeded", "{simulated}");
        ensure!(simulated.pointer("/transaction").is_none(), "something was sent: {simulated}");
        ensure!(chain.lamports(&wallet)? == before, "the keeper paid something");
        ensure!(owed(chain, position)? == debt, "the debt changed");
        let event = at(&simulated, "/simulation/events/0")?;
        Ok((
            (),
            format!(
                "profit {}, {} compute units, {} bytes; nothing was sent",
                amount(event, "/profit")?,
                at(&simulated, "/simulation/computeUnits")?,
                at(&simulated, "/simulation/bytes")?,
            ),
        ))
    });

    let sent = report.step("liquidate", || {
        let account = keeper_account(scene, &position.debt);
        let (before, debt) = (chain.tokens(&account)?, owed(chain, position)?);
        let done = keeper.json(&args)?;
        ensure!(text(&done, "/transaction/outcome")? == "succeeded", "{done}");
        let event = at(&done, "/transaction/events/0")?.clone();
        ensure!(text(&event, "/obligation")? == obligation, "{event}");
        ensure!(text(&event, "/keeper")? == scene.keeper.pubkey().to_string(), "{event}");
        let profit = amount(&event, "/profit")?;
        let gained = i128::from(chain.tokens(&account)?) - i128::from(before);
        ensure!(profit > 0 && gained == profit, "event {profit}, balance {gained}");
        let (repaid, fell) = (amount(&event, "/debtRepaid")?, debt - owed(chain, position)?);
        // Interest of the slots in between makes the debt fall by less.
        ensure!(fell <= repaid && repaid - fell < repaid / 1_000, "repaid {repaid}, fell {fell}");
        let signature = text(&done, "/transaction/signature")?.to_owned();
        let units = at(&done, "/transaction/computeUnits")?;
        let seen = format!("repaid {repaid}, profit {profit} = balance, {units} compute units");
        Ok(((signature, event), seen))
    });
    let Some((signature, event)) = sent else { return };
    report.step("explain SIGNATURE", || {
        let explained = keeper.json(&["explain", &signature])?;
        ensure!(text(&explained, "/outcome")? == "succeeded", "{explained}");
        ensure!(at(&explained, "/events/0")? == &event, "another event: {explained}");
        let ended = keeper.run(&["explain", &signature])?;
        ensure!(ended.code == 0 && ended.output.contains("Liquidated"), "{}", ended.output);
        let calls = at(&explained, "/instructions")?.as_array().map_or(0, Vec::len);
        Ok(((), format!("the same event; {calls} instructions")))
    });
}

/// `fork`, and commands on what it wrote.
fn fork(report: &mut Report, keeper: &Keeper, scene: &Scene, position: &Position) {
    report.step("fork", || {
        let obligation = position.obligation.to_string();
        let out = scene.folder.join("fork").display().to_string();
        let written = keeper.json(&["fork", "--obligation", &obligation, "--out", &out])?;
        let on_fork = keeper.on("--fork", &out);
        let [here, there] =
            [keeper, &on_fork].map(|keeper| keeper.json(&["obligation", &obligation]));
        let (here, there) = (here?, there?);
        let pointer = "/deposits/0/ctokens";
        ensure!(at(&here, pointer)? == at(&there, pointer)?, "cluster {here}, fork {there}");
        let again = keeper.run(&["fork", "--obligation", &obligation, "--out", &out])?;
        ensure!(again.code != 0, "a folder was written over");
        Ok((
            (),
            format!(
                "{} accounts at slot {}; the same obligation there",
                at(&written, "/accounts")?,
                at(&written, "/slot")?,
            ),
        ))
    });
}

/// `watch` while the price falls on.
fn watch(
    report: &mut Report,
    scene: &mut Scene,
    server: &Server,
    keeper: &Keeper,
    oracle: &Oracle,
    [at_risk, careful]: [&Position; 2],
    table: &str,
) {
    let chain = &server.chain;
    report.step("watch", || {
        let metrics = free_address()?;
        let config = scene.folder.join("keeper.toml");
        fs::write(
            &config,
            format!(
                "send = true\nkeypair = {:?}\ntables = [{table:?}]\nfeed = \"websocket\"\n\
                 deadline_slots = {DEADLINE}\ncooldown_seconds = 600\nmetrics = \"{metrics}\"\n",
                scene.keeper_file
            ),
        )?;
        let config = config.display().to_string();
        let account = keeper_account(scene, &at_risk.debt);
        let (before, owed_before) = (chain.tokens(&account)?, owed(chain, at_risk)?);
        let careful_before = ctokens(chain, careful)?;

        let args = ["watch", "--config", &config, "--passes", WATCH_PASSES, "--json"];
        let (process, log) = keeper.start("watch", &args)?;
        // Nothing is polled for: what it finds, it finds by an update.
        wait_for(&log, |line| message(line) == Some("updates flow"))?;
        let scanned = wait_for(&log, |line| message(line) == Some("scanned"))?;
        ensure!(amount(&scanned, "/fields/tracked")? == 3, "{scanned}");
        ensure!(owed(chain, at_risk)? == owed_before, "a healthy position was liquidated");

        let price = oracle.move_sol(scene, chain, SECOND_FALL)?;
        let obligation = at_risk.obligation.to_string();
        let line = wait_for(&log, |line| {
            message(line) == Some("liquidated")
                && text(line, "/fields/obligation").is_ok_and(|at| at == obligation)
        })?;
        let figures = scrape(metrics)?;
        process.terminate()?;
        let status = process.wait(WATCH)?;
        ensure!(status.success(), "it ended with {status}");

        let profit = amount(&line, "/fields/profit")?;
        let gained = i128::from(chain.tokens(&account)?) - i128::from(before);
        ensure!(profit > 0 && gained == profit, "log {profit}, balance {gained}");
        let repaid = amount(&line, "/fields/repaid")?;
        let fell = owed_before - owed(chain, at_risk)?;
        ensure!(fell <= repaid && repaid - fell < repaid / 1_000, "repaid {repaid}, fell {fell}");
        ensure!(ctokens(chain, careful)? == careful_before, "the careful one was liquidated");
        for counter in ["keeper_liquidated_total", "keeper_updates_total"] {
            ensure!(figure(&figures, counter)? > 0, "{counter}: {figures}");
        }
        let explained = keeper.json(&["explain", text(&line, "/fields/signature")?])?;
        ensure!(text(&explained, "/outcome")? == "succeeded", "{explained}");
        Ok(((), format!(
            "SOL fell to ${price:.2}: found and liquidated the PYUSD position, repaid {repaid}, \
             profit {profit} = balance; ended when asked to"
        )))
    });
}

/// `setup --undo`: retires the table, and closes it when it may be.
fn undo(report: &mut Report, scene: &Scene, chain: &Chain, keeper: &Keeper, table: &str) {
    let key = scene.keeper_file.display().to_string();
    let args = ["setup", "--undo", "--table", table, "--keypair", &key, "--yes"];
    let retired = report.step("setup --undo: retire", || {
        let debt = keeper_account(scene, &scene.usdc);
        let kept = chain.tokens(&debt)?;
        let done = keeper.json(&args)?;
        let notes = at(&done, "/notes")?.to_string();
        ensure!(notes.contains("retired"), "{done}");
        ensure!(chain.tokens(&debt)? == kept && kept > 0, "an account with tokens was closed");
        let slot = chain.slot()?;
        Ok((slot, format!("slot {slot}; accounts with tokens are kept")))
    });
    let Some(slot) = retired else { return };
    report.step("setup --undo: close", || {
        // 512 slots of the slot hashes, and the few the keeper waits beyond.
        const SLOTS: u64 = 525;
        let rent = chain.wanted("lookup table", &table.parse()?)?.lamports;
        chain.wait_for_slot(slot + SLOTS, RETIREMENT)?;
        let before = chain.lamports(&scene.keeper.pubkey())?;
        keeper.json(&args)?;
        ensure!(chain.account(&table.parse()?)?.is_none(), "the table is still there");
        let refunded = chain.lamports(&scene.keeper.pubkey())? - before;
        ensure!(refunded > rent - 100_000 && refunded <= rent, "{refunded} of {rent} lamports");
        Ok(((), format!("after {SLOTS} slots; {refunded} of {rent} lamports came back")))
    });
}

/// Where the keeper holds a reserve's token.
fn keeper_account(scene: &Scene, reserve: &ReserveAddresses) -> Address {
    held(&scene.keeper.pubkey(), reserve)
}

/// Units a position owes, as klend last wrote it down.
fn owed(chain: &Chain, position: &Position) -> Result<i128> {
    let key = &position.obligation;
    let account = chain.wanted("obligation", key)?;
    let obligation = accounts::obligation(key, &account.owner, &account.data)?;
    let scaled: u128 = obligation.borrows[0].borrowed_amount_sf.into();
    // A fixed-point number with 60 fractional bits.
    Ok(i128::try_from(scaled >> 60)?)
}

/// cTokens a position has as collateral.
fn ctokens(chain: &Chain, position: &Position) -> Result<u64> {
    let key = &position.obligation;
    let account = chain.wanted("obligation", key)?;
    Ok(accounts::obligation(key, &account.owner, &account.data)?.deposits[0].deposited_amount)
}

fn number(value: &Value, pointer: &str) -> Result<f64> {
    at(value, pointer)?.as_f64().with_context(|| format!("{pointer} is no number"))
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// An address on loopback that nobody listens at.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// One of the keeper's figures.
fn figure(figures: &str, name: &str) -> Result<u64> {
    figures
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
        .with_context(|| format!("no {name}: {figures}"))
}

/// The keeper's figures.
fn scrape(address: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
