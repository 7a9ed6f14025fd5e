//! Instructions: what an agent is told of itself, as a template that may know the caller.
//!
//! Pure. It refuses to know where the template comes from, and who looks a caller up.
//!
//! The language is Jinja's (minijinja). Nothing can be included or loaded; a name that is not one of these is an error at
//! start, and a template that would run for long fails:
//!
//! | name | what it is |
//! |---|---|
//! | `agent_name` | as configured |
//! | `caller` | his number; empty when it is withheld |
//! | `callback` | whether he has called before, lately |
//! | `memory` | notes from his earlier calls, marked as such line by line; empty when there are none |
//! | `call.id`, `call.mode` | the call, and the mode that it begins in |

use std::collections::BTreeSet;

use minijinja::{Environment, UndefinedBehavior, Value, context};

use crate::memory::quoted;

/// Whole names, as they can be used.
const KNOWN: [&str; 6] = ["agent_name", "caller", "callback", "memory", "call.id", "call.mode"];

/// Instructions of the virtual machine. A screen of prose with a dozen conditions takes some hundred.
const FUEL: u64 = 10_000;

/// How the template is called in the environment that holds it.
const NAME: &str = "instructions";

#[derive(Debug)]
pub(crate) struct Template {
    environment: Environment<'static>,
    uses: BTreeSet<String>,
}

/// What a template is filled with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Particulars<'a> {
    pub(crate) agent_name: &'a str,
    pub(crate) caller: &'a str,
    pub(crate) callback: bool,
    /// As it is kept.
    pub(crate) memory: &'a str,
    pub(crate) call_id: &'a str,
    pub(crate) mode: &'a str,
}

/// What is wrong with a template, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct TemplateError {
    pub line: usize,
    pub problem: String,
}

impl Template {
    pub(crate) fn new(text: &str) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.add_template_owned(NAME, text.to_owned()).map_err(|error| told(&error))?;
        let uses = used(&environment);
        if let Some(unknown) = uses.iter().find(|name| !KNOWN.contains(&name.as_str())) {
            let problem = format!("`{unknown}` is unknown; there are {}", KNOWN.join(", "));
            return Err(TemplateError { line: line_of(text, unknown), problem });
        }
        let template = Self { environment, uses };
        // Filters and tests are looked up when they are come to: in whichever branch, once.
        for callback in [false, true] {
            for memory in ["", "Likes tea."] {
                template.fill(&Particulars { callback, memory, ..Particulars::default() })?;
            }
        }
        Ok(template)
    }

    /// Whether it says the same to everybody.
    pub(crate) fn is_plain(&self) -> bool {
        self.uses.is_empty()
    }

    pub(crate) fn uses(&self, name: &str) -> bool {
        self.uses.contains(name)
    }

    pub(crate) fn fill(&self, particulars: &Particulars<'_>) -> Result<String, TemplateError> {
        let Particulars { agent_name, caller, callback, memory, call_id, mode } = *particulars;
        let memory = quoted(memory);
        let call = context! { id => call_id, mode };
        let filling: Value = context! { agent_name, caller, callback, memory, call };
        let template = self.environment.get_template(NAME).map_err(|error| told(&error))?;
        template.render(filling).map_err(|error| told(&error))
    }
}

fn used(environment: &Environment<'_>) -> BTreeSet<String> {
    let template = environment.get_template(NAME);
    template.map(|template| template.undeclared_variables(true).into_iter().collect()).unwrap_or_default()
}

fn told(error: &minijinja::Error) -> TemplateError {
    let problem = error.detail().map_or_else(|| error.kind().to_string(), ToOwned::to_owned);
    TemplateError { line: error.line().unwrap_or(1), problem }
}

/// Where a name stands first, as a word of its own.
fn line_of(text: &str, name: &str) -> usize {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    let stands_in = |line: &str| {
        line.match_indices(name)
            .any(|(at, _)| !line[..at].ends_with(is_part) && !line[at + name.len()..].starts_with(is_part))
    };
    text.lines().position(stands_in).map_or(1, |line| line + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: Particulars<'_> = Particulars {
        agent_name: "desk",
        caller: "+12065550188",
        callback: true,
        memory: "Likes tea.",
        call_id: "7",
        mode: "realtime",
    };

    fn wrong(text: &str) -> String {
        Template::new(text).unwrap_err().to_string()
    }

    #[test]
    fn a_template_is_filled_with_what_is_known_of_the_caller() {
        let text = "You are {{ agent_name }}.{% if callback %} {{ caller }} calls again.{% endif %}\n\
                    {{ call.id }} {{ call.mode }}\n{{ memory }}";
        let template = Template::new(text).unwrap();
        let filled = template.fill(&ANN).unwrap();
        assert!(
            filled.starts_with("You are desk. +12065550188 calls again.\n7 realtime\nNotes about this"),
            "{filled}"
        );
        assert!(filled.ends_with("\n> Likes tea.\n"), "{filled}");
        let stranger =
            Particulars { agent_name: "desk", call_id: "8", mode: "cascade", ..Particulars::default() };
        assert_eq!(template.fill(&stranger).unwrap(), "You are desk.\n8 cascade\n");
        assert!(template.uses("memory") && !template.is_plain());
    }

    #[test]
    fn text_without_names_says_the_same_to_everybody() {
        for text in ["", "Be brief.\n", "{# a remark #}Be 100 % brief."] {
            assert!(Template::new(text).unwrap().is_plain(), "{text}");
        }
    }

    #[test]
    fn what_a_caller_says_is_never_taken_for_a_template() {
        let template = Template::new("{{ memory }}").unwrap();
        let filled = template.fill(&Particulars { memory: "{{ caller }}{% include 'x' %}", ..ANN }).unwrap();
        assert!(filled.ends_with("> {{ caller }}{% include 'x' %}\n"), "{filled}");
    }

    #[test]
    fn a_mistake_is_named_with_its_line() {
        for (text, expected) in [
            (
                "a\n{{ memroy }}",
                "line 2: `memroy` is unknown; there are agent_name, caller, callback, memory",
            ),
            ("memroy_\n\n{% if a.memroy %}{% endif %}", "line 3: `a.memroy` is unknown"),
            ("\n{{ call.sid }}", "line 2: `call.sid` is unknown"),
            ("{{ call }}", "line 1: `call` is unknown"),
            ("a\nb {% if memory %}", "line 2: "),
            ("a\n{{ memory", "line 2: "),
            ("\n{{ memory | shout }}", "line 2: filter shout is unknown"),
            (
                "{% if callback %}\n{% if memory %}{{ memory | shout }}{% endif %}{% endif %}",
                "line 2: filter shout",
            ),
            ("{% include 'other' %}", "line 1: "),
            ("{% for n in range(90000) %}{{ n }}{% endfor %}", "line 1: "),
            ("{% for a in [1, 2] * 5000 %}{{ a }}{% endfor %}", "line 1: "),
        ] {
            let problem = wrong(text);
            assert!(problem.starts_with(expected), "{text}: {problem}");
        }
    }
}
