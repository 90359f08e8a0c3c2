//! What shells and man(1) want to know of the command line.

use std::io;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::Arguments;

/// What completes commands in a shell.
pub(super) fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "howdah", &mut script);
    script
}

/// The manual page: what the program is about, then each command with its own commands.
pub(super) fn manual() -> io::Result<Vec<u8>> {
    let mut program = Arguments::command();
    program.build();
    let mut page = Vec::new();
    let man = Man::new(program.clone());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if let Some(examples) = program.get_after_help().map(ToString::to_string) {
        section("EXAMPLES", examples.lines().skip(1), &mut page);
    }
    commands(&mut program, "howdah", &mut page);
    man.render_version_section(&mut page)?;
    Ok(page)
}

/// Each command as its `--help` says it.
fn commands(parent: &mut Command, name: &str, page: &mut Vec<u8>) {
    for command in parent.get_subcommands_mut().filter(|command| !command.is_hide_set()) {
        let name = format!("{name} {}", command.get_name());
        section(&name, command.render_long_help().to_string().lines(), page);
        commands(command, &name, page);
    }
}

/// Lines as they are, under a heading.
fn section<'a>(heading: &str, lines: impl Iterator<Item = &'a str>, page: &mut Vec<u8>) {
    page.extend_from_slice(format!(".SH \"{}\"\n.nf\n", escaped(heading)).as_bytes());
    for line in lines {
        page.extend_from_slice(escaped(line).as_bytes());
        page.push(b'\n');
    }
    page.extend_from_slice(b".fi\n");
}

/// A line of text: backslashes, hyphens that shall be copied as such, and what would be a macro.
fn escaped(line: &str) -> String {
    let line = line.replace('\\', "\\e").replace('-', "\\-");
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_manual_has_every_command() {
        let page = String::from_utf8(manual().unwrap()).unwrap();
        for command in ["howdah run", "howdah policy new", "howdah import", "howdah completions"] {
            assert!(page.contains(&format!(".SH \"{command}\"")), "{command}");
        }
        assert!(!page.contains("config\\-reference"), "hidden commands stay hidden");
    }

    #[test]
    fn lines_are_escaped() {
        assert_eq!(escaped("a-b\\c"), "a\\-b\\ec");
        assert_eq!(escaped(".x"), "\\&.x");
        assert_eq!(escaped("'x"), "\\&'x");
    }

    #[test]
    fn shells_know_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = String::from_utf8(completions(shell)).unwrap();
            assert!(script.contains("undrain"), "{shell}");
        }
    }
}
