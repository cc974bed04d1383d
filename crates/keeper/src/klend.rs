//! Which klend is talked to: the builds that are known by the hash of their code.

use anyhow::{Context as _, Result};
use klend_model::version::KlendVersion;

use crate::{
    feeds::source::{KLEND, Source},
    program::{Deployed, Hash},
};

/// A build that somebody compared with its source.
struct Build {
    /// SHA-256 of the executable, as `solana-verify get-program-hash` prints it.
    hash: &'static str,
    /// Its version, patch included.
    name: &'static str,
    version: KlendVersion,
}

/// The builds that are known; docs/mainnet.md says where they were deployed.
const BUILDS: [Build; 1] = [Build {
    hash: "9db16dd4b7bbfe4f13df850bf880bfc4522fcece06717c0626d625746a3cc85b",
    name: "1.25.0",
    version: KlendVersion::V1_25,
}];

/// The klend that is deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub deployed: Deployed,
    /// Name and version of the build, if it is known.
    pub build: Option<(&'static str, KlendVersion)>,
}

/// Name and version of the build with this hash, if it is known.
pub fn known(hash: &Hash) -> Option<(&'static str, KlendVersion)> {
    let build = BUILDS.iter().find(|build| build.hash.parse() == Ok(*hash))?;
    Some((build.name, build.version))
}

impl Identity {
    /// Reads klend's code, some megabytes.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(source: &dyn Source) -> Result<Self> {
        let deployed = Deployed::read(source, &KLEND).context("klend")?;
        Ok(Self { deployed, build: known(&deployed.hash) })
    }

    /// The version whose rules are to apply: what the operator says, else the build's,
    /// else the newest that mainnet was seen to run.
    pub fn version(&self, said: Option<KlendVersion>) -> KlendVersion {
        said.or(self.build.map(|(_, version)| version)).unwrap_or_default()
    }

    /// In words, with the version that it is taken for.
    pub fn describe(&self, version: KlendVersion) -> String {
        let hash = self.deployed.hash;
        match self.build {
            Some((name, known)) if known == version => format!("klend {name} (hash {hash})"),
            Some((name, _)) => format!("klend {name} (hash {hash}), taken for {version}"),
            None => {
                format!("a build of klend that is not known (hash {hash}), taken for {version}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use solana_address::Address;

    use super::*;
    use crate::program::Authority;

    fn identity(hash: &str) -> Identity {
        let hash: Hash = hash.parse().unwrap();
        let deployed = Deployed {
            program: Address::default(),
            bytes: 1,
            hash,
            authority: Authority::None,
            slot: Some(1),
        };
        Identity { deployed, build: known(&hash) }
    }

    #[test]
    fn a_build_is_known_by_its_hash_and_said_otherwise() {
        for build in &BUILDS {
            assert_eq!(known(&build.hash.parse().unwrap()), Some((build.name, build.version)));
            assert_eq!(build.name.parse(), Ok(build.version));
        }
        let mainnet = identity(BUILDS[0].hash);
        assert_eq!(mainnet.version(None), KlendVersion::V1_25);
        let said = mainnet.describe(KlendVersion::V1_25);
        assert!(said.starts_with("klend 1.25.0 (hash 9db16dd4b7bb") && said.ends_with("c85b)"));
        assert_eq!(mainnet.version(Some(KlendVersion::V1_26)), KlendVersion::V1_26);
        assert!(mainnet.describe(KlendVersion::V1_26).ends_with("taken for 1.26"));

        let other = identity(&"ab".repeat(32));
        assert_eq!(other.version(None), KlendVersion::default());
        let said = other.describe(other.version(None));
        assert!(said.contains("not known (hash abab") && said.ends_with("taken for 1.25"));
    }
}
