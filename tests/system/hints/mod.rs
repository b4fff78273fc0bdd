//! Every hint tried: the fault is made, the commands are cut out of the hint's own text and run by a shell as a user would run
//! them, and then what failed must succeed with every version that there was.
//!
//! The test fails for an error without a row here, and for a command in the source that no row has run: a hint that nobody has
//! tried may cost the keys that it is to bring back.

mod command;
mod coverage;
mod key_files;
mod keystores;
mod master_keys;
mod odd_texts;
mod plugin;
mod site;
mod stores;
mod tried;

use site::Site;
use tried::Tried;

#[test]
fn the_command_of_every_hint_helps_and_loses_nothing() {
    let mut tried = Tried::default();
    for (what, row) in [
        key_files::ROWS,
        stores::ROWS,
        keystores::ROWS,
        master_keys::ROWS,
        odd_texts::ROWS,
        plugin::ROWS,
    ]
    .concat()
    {
        println!("{what}");
        row(&Site::new(), &mut tried);
    }
    let gaps = [coverage::errors(&tried), coverage::commands(&tried)].concat();
    assert!(gaps.is_empty(), "{}", gaps.join("\n"));
}
