//! The arguments that say what new key versions are made like.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use keyroll::crypto::Algorithm;
use keyroll::keys::KeySpec;
use keyroll::store::StoreConfig;

use crate::failure::Failure;
use crate::store_args::ChosenStore;

/// The values of `keyroll_key_spec`, and their lengths in bits.
const KEY_SPECS: [(&str, u32); 2] = [("AES_128", 128), ("AES_256", 256)];

#[derive(clap::Args)]
pub(crate) struct SpecArgs {
    /// What new versions in a keystore encrypt with, as in keyroll_key_algorithm [default:
    /// aes_256_xts]
    #[arg(long, value_name = "ALGORITHM", value_parser = algorithm_parser())]
    key_algorithm: Option<Algorithm>,

    /// The length of new keys, as in keyroll_key_spec [default: AES_256]
    #[arg(long, value_name = "SPEC", value_parser = key_spec_parser(), ignore_case = true)]
    pub(crate) key_spec: Option<u32>,
}

/// Takes the name of an algorithm.
pub(crate) fn algorithm_parser() -> impl TypedValueParser<Value = Algorithm> {
    PossibleValuesParser::new(Algorithm::ALL.map(Algorithm::name))
        .map(|name| Algorithm::from_name(&name).unwrap_or(KeySpec::DEFAULT.algorithm))
}

fn key_spec_parser() -> impl TypedValueParser<Value = u32> {
    PossibleValuesParser::new(KEY_SPECS.map(|(name, _)| name)).map(|name| {
        let named = KEY_SPECS
            .iter()
            .find(|(spec, _)| spec.eq_ignore_ascii_case(&name));
        named.map_or(KeySpec::DEFAULT.bits, |&(_, bits)| bits)
    })
}

impl SpecArgs {
    /// Algorithm and length as the arguments have them, or else the settings of the server.
    pub(crate) fn spec(&self, chosen: &ChosenStore) -> Result<KeySpec, Failure> {
        let is_keystore = matches!(chosen.store, StoreConfig::Keystore(_));
        if self.key_algorithm.is_some() && !is_keystore {
            return Err(Failure::NoAlgorithms(chosen.store.kind()));
        }
        let default = chosen.settings.key_spec();
        let algorithm = self.key_algorithm.unwrap_or(default.algorithm);
        Ok(match self.key_spec {
            // What is asked for here must be possible; a setting of the server counts where it can.
            Some(bits) => KeySpec { algorithm, bits },
            None => KeySpec::of(algorithm, default.bits),
        })
    }
}
