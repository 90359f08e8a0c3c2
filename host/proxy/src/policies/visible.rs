//! What a policy can see of a statement besides kind, facts and digest, in words.

use std::collections::BTreeMap;

use super::show;

/// Literals that are told of: a list of values may be long.
const MAX_LITERALS: usize = 64;
/// Names or values in one line, and bytes of each.
const MAX_SHOWN: usize = 16;
const MAX_BYTES: usize = 64;

/// What the functions of the interface `question` would tell of a text.
pub struct Visible {
    /// Constants, in the order of the text; the first of them.
    pub literals: Vec<String>,
    /// Parameters, with their types where the text says them.
    pub parameters: BTreeMap<u16, Option<String>>,
    /// Tables, views and functions.
    pub relations: Vec<String>,
}

impl Visible {
    /// Looks at a text.
    pub fn of(sql: &str) -> Visible {
        let text = sql.as_bytes();
        let literal = |index| howdah_sql::literal(text, index).map(|value| value.into_owned());
        Visible {
            literals: (0..MAX_LITERALS).map_while(literal).collect(),
            parameters: howdah_sql::parameters(text),
            relations: howdah_sql::relations(text),
        }
    }

    /// A word and what there is, for each of which there is any.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let parameter = |(number, name): (&u16, &Option<String>)| match name {
            Some(name) => format!("${number} {name}"),
            None => format!("${number}"),
        };
        let literals = self.literals.iter().map(|literal| format!("'{literal}'"));
        let all = [
            ("literals", literals.collect::<Vec<_>>()),
            ("parameters", self.parameters.iter().map(parameter).collect()),
            ("relations", self.relations.clone()),
        ];
        let some = all.into_iter().filter(|(_, them)| !them.is_empty());
        some.map(|(word, them)| (word, list(&them))).collect()
    }
}

/// As much of a list as fits into a line.
fn list(them: &[String]) -> String {
    let shown: Vec<String> =
        them.iter().take(MAX_SHOWN).map(|one| show::cut(one, MAX_BYTES)).collect();
    let more = if them.len() > MAX_SHOWN { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_is_told_and_long_lists_are_cut() {
        let seen = Visible::of("SELECT 'a', -2 FROM s.t WHERE id = $1::int8");
        let lines = seen.lines();
        let expected = [("literals", "'a', '-2'"), ("parameters", "$1 int8"), ("relations", "s.t")];
        assert_eq!(lines, expected.map(|(word, them)| (word, them.to_owned())));
        assert_eq!(Visible::of("BEGIN").lines(), []);
        let long = Visible::of(&format!("SELECT '{}'{}", "é".repeat(100), ", 1".repeat(100)));
        let (_, shown) = long.lines().remove(0);
        assert!(shown.len() < 250 && shown.ends_with("'1', …"), "{shown}");
    }
}
