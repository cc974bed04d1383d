//! What a deployer does, rehearsed with the receiver's ELF at an address of its own:
//! write a buffer, deploy, upgrade, change the authority, close a buffer, make immutable.
//! Each step is checked in the accounts, and by calling the program.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use klend_fork::deploy_folder;
use solana_address::Address;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_loader_v3_interface::{
    get_program_data_address, instruction as loader, state::UpgradeableLoaderState,
};
use solana_sdk_ids::bpf_loader_upgradeable;
use solana_signer::Signer;

use crate::{chain::Chain, processes::Process, report::Report, scene::Scene, server::Server};

/// Bytes that one `Write` fits into a transaction.
const CHUNK: usize = 900;
/// Writes on their way at once.
const BATCH: usize = 100;
/// How long a new slot may take.
const SLOTS: Duration = Duration::from_secs(30);
/// How long `deploy.ts` may take.
const SCRIPT: Duration = Duration::from_secs(120);
/// What the receiver says when it is called at another address than its own: Anchor's
/// `DeclaredProgramIdMismatch`.
const RECEIVER_SAYS: &str = "0x1004";
/// What the forwarder of the tests says when it is called without accounts.
const FORWARDER_SAYS: &str = "nsufficient account keys";
/// The tag of a program data account.
const PROGRAM_DATA: u8 = 3;
/// Where it says whether there is an upgrade authority, and which.
const AUTHORITY: usize = 12;

/// A deployment under way.
struct Deployment<'a> {
    chain: &'a Chain,
    deployer: &'a Keypair,
    program: Keypair,
}

/// Does everything; what cannot be done is in the report. `migrations` is the folder of
/// `deploy.ts`.
pub fn run(report: &mut Report, scene: &Scene, server: &Server, migrations: &Path) {
    let chain = &server.chain;
    report.step("migrations/deploy.ts", || {
        let said = check(scene, &server.url, migrations)?;
        let authority = scene.upgrade_authority().to_string();
        ensure!(said.contains("deployed   the same code"), "{said}");
        ensure!(said.contains(&format!("authority  {authority}")), "{said}");
        let hash = said.lines().find(|line| line.starts_with("executable")).unwrap_or_default();
        Ok(((), format!("the receiver: the same code; {hash}")))
    });
    let deployment = Deployment { chain, deployer: &scene.deployer, program: Keypair::new() };
    // Whatever depends on a step that failed is not tried.
    let _ = deployment.rehearse(report, scene);
}

/// What `deploy.ts` says about the receiver on the cluster.
fn check(scene: &Scene, url: &str, migrations: &Path) -> Result<String> {
    let output = scene.folder.join("deploy.out");
    let process = Process::spawn(
        Command::new("npm")
            .args(["run", "--silent", "check"])
            .current_dir(migrations)
            .env("ANCHOR_PROVIDER_URL", url)
            .env("ANCHOR_WALLET", &scene.deployer_file)
            .stdin(Stdio::null())
            .stdout(File::create(&output)?),
    )?;
    let status = process.wait(SCRIPT)?;
    let said = fs::read_to_string(output)?;
    ensure!(status.success(), "it ended with {status}: {said}");
    Ok(said)
}

impl Deployment<'_> {
    fn rehearse(&self, report: &mut Report, scene: &Scene) -> Option<()> {
        let Self { chain, deployer, .. } = *self;
        let (program, authority) = (self.program.pubkey(), deployer.pubkey());
        let elf = |name: &str| {
            let path = deploy_folder().join(name);
            fs::read(&path).with_context(|| format!("{}", path.display()))
        };
        let (receiver, forwarder) = report.step("read the ELFs", || {
            let elfs = (elf("flash_liquidator.so")?, elf("cpi_forwarder.so")?);
            let seen = format!("flash_liquidator.so {} bytes", elfs.0.len());
            Ok((elfs, seen))
        })?;

        let buffer = report.step("write a buffer", || self.write_buffer(&receiver))?;
        report.step("deploy", || {
            let rent = chain.rent(UpgradeableLoaderState::size_of_program())?;
            let instructions = loader::deploy_with_max_program_len(
                &authority,
                &program,
                &buffer,
                &authority,
                rent,
                receiver.len(),
            )?;
            chain.send(&instructions, &[deployer, &self.program])?;
            ensure!(chain.account(&buffer)?.is_none(), "the buffer is still there");
            self.expect(&receiver, Some(&authority), RECEIVER_SAYS)
        })?;

        let buffer =
            report.step("write a buffer of another program", || self.write_buffer(&forwarder))?;
        report.step("a stranger's upgrade", || {
            let stranger = &scene.stranger;
            let upgrade =
                loader::upgrade(&program, &buffer, &stranger.pubkey(), &stranger.pubkey());
            let said = chain.refusal(&[upgrade], &[stranger])?;
            ensure!(said.contains("authority"), "{said}");
            self.expect(&receiver, Some(&authority), RECEIVER_SAYS)?;
            Ok(((), format!("refused: {}", last_line(&said))))
        })?;
        report.step("upgrade", || {
            let before = self.deployed_at()?;
            chain
                .send(&[loader::upgrade(&program, &buffer, &authority, &authority)], &[deployer])?;
            ensure!(self.deployed_at()? > before, "the slot of the deployment is the old one");
            self.expect(&forwarder, Some(&authority), FORWARDER_SAYS)
        })?;
        let buffer =
            report.step("write a buffer of the receiver again", || self.write_buffer(&receiver))?;
        report.step("upgrade to the receiver", || {
            chain
                .send(&[loader::upgrade(&program, &buffer, &authority, &authority)], &[deployer])?;
            self.expect(&receiver, Some(&authority), RECEIVER_SAYS)
        })?;

        report.step("hand over the authority, and back", || {
            let other = &scene.publisher;
            let there =
                loader::set_upgrade_authority_checked(&program, &authority, &other.pubkey());
            chain.send(&[there], &[deployer, other])?;
            ensure!(self.authority()? == Some(other.pubkey()), "the authority is the old one");
            let back = loader::set_upgrade_authority_checked(&program, &other.pubkey(), &authority);
            chain.send(&[back], &[other, deployer])?;
            ensure!(self.authority()? == Some(authority), "the authority did not come back");
            Ok(((), format!("{} and back", other.pubkey())))
        })?;

        let buffer = report.step("write a buffer for nothing", || self.write_buffer(&forwarder))?;
        report.step("close the buffer", || {
            let rent = chain.lamports(&buffer)?;
            let before = chain.lamports(&authority)?;
            let close = loader::close_any(&buffer, &authority, Some(&authority), None);
            chain.send(&[close], &[deployer])?;
            ensure!(chain.account(&buffer)?.is_none(), "the buffer is still there");
            let refunded = chain.lamports(&authority)? - before;
            ensure!(refunded > rent - 100_000 && refunded <= rent, "{refunded} of {rent} lamports");
            Ok(((), format!("{refunded} of {rent} lamports came back, less the fee")))
        })?;

        report.step("make immutable", || {
            let forever = loader::set_upgrade_authority(&program, &authority, None);
            chain.send(&[forever], &[deployer])?;
            self.expect(&receiver, None, RECEIVER_SAYS)
        })?;
        let buffer = report.step("write a last buffer", || self.write_buffer(&forwarder))?;
        report.step("upgrade what is immutable", || {
            let upgrade = loader::upgrade(&program, &buffer, &authority, &authority);
            let said = chain.refusal(&[upgrade], &[deployer])?;
            ensure!(said.contains("immutable") || said.contains("not upgradeable"), "{said}");
            self.expect(&receiver, None, RECEIVER_SAYS)?;
            Ok(((), format!("refused: {}", last_line(&said))))
        })
    }

    /// Makes a buffer with an ELF in it.
    fn write_buffer(&self, elf: &[u8]) -> Result<(Address, String)> {
        let Self { chain, deployer, .. } = *self;
        let buffer = Keypair::new();
        let (key, authority) = (buffer.pubkey(), deployer.pubkey());
        let rent = chain.rent(UpgradeableLoaderState::size_of_buffer(elf.len()))?;
        let creation = loader::create_buffer(&authority, &key, &authority, rent, elf.len())?;
        chain.send(&creation, &[deployer, &buffer])?;

        let mut writes = Vec::new();
        for (number, chunk) in elf.chunks(CHUNK).enumerate() {
            let offset = u32::try_from(number * CHUNK)?;
            writes.push(vec![loader::write(&key, &authority, offset, chunk.to_vec())]);
        }
        for batch in writes.chunks(BATCH) {
            chain.send_all(batch, &[deployer])?;
        }
        let account = chain.wanted("buffer", &key)?;
        let header = UpgradeableLoaderState::size_of_buffer_metadata();
        ensure!(account.data.get(header..) == Some(elf), "the buffer holds something else");
        Ok((key, format!("{} writes, {} bytes, {rent} lamports", writes.len(), elf.len())))
    }

    /// Makes sure that the program's code, authority and behaviour are these.
    fn expect(&self, elf: &[u8], authority: Option<&Address>, says: &str) -> Result<((), String)> {
        let account = self.chain.wanted("program", &self.program.pubkey())?;
        ensure!(account.executable && account.owner == bpf_loader_upgradeable::ID, "{account:?}");
        let data = self.program_data()?;
        let code = data
            .get(UpgradeableLoaderState::size_of_programdata_metadata()..)
            .context("the program has no code")?;
        let (code, rest) = code.split_at_checked(elf.len()).context("the code is too short")?;
        ensure!(code == elf && rest.iter().all(|byte| *byte == 0), "the code is another one");
        ensure!(
            self.authority()?.as_ref() == authority,
            "the authority is {:?}",
            self.authority()?
        );

        // Code can be called from the slot after its deployment on.
        self.chain.wait_for_slot(self.deployed_at()? + 2, SLOTS)?;
        let call =
            Instruction { program_id: self.program.pubkey(), accounts: vec![], data: vec![0; 16] };
        let said = self.chain.refusal(&[call], &[self.deployer])?;
        ensure!(said.contains(says), "called, it says: {said}");
        let authority = authority.map_or("nobody".to_owned(), ToString::to_string);
        Ok(((), format!("the same {} bytes; authority {authority}", elf.len())))
    }

    fn program_data(&self) -> Result<Vec<u8>> {
        let key = get_program_data_address(&self.program.pubkey());
        let data = self.chain.wanted("program data", &key)?.data;
        ensure!(data.first() == Some(&PROGRAM_DATA), "{key} holds no program data");
        Ok(data)
    }

    /// Slot of the last deployment.
    fn deployed_at(&self) -> Result<u64> {
        let data = self.program_data()?;
        let slot = data.get(4..).and_then(|tail| tail.first_chunk()).context("no slot")?;
        Ok(u64::from_le_bytes(*slot))
    }

    fn authority(&self) -> Result<Option<Address>> {
        let data = self.program_data()?;
        let (tag, rest) =
            data.get(AUTHORITY..).and_then(<[u8]>::split_first).context("no authority")?;
        let key = rest.first_chunk().context("no authority")?;
        Ok((*tag == 1).then(|| Address::new_from_array(*key)))
    }
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or_default().trim()
}
