//! Field paths as the API server prints them: `spec.containers[0].resources.limits[cpu]`.

use std::fmt;

/// One step into an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A field of a struct, printed after a dot.
    Field(String),
    /// An entry of a list, from 0.
    Index(usize),
    /// A key of a map, printed in brackets.
    Key(String),
}

/// Where in an object something is. The empty path is the object itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(Vec<Step>);

impl Path {
    /// The object itself.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// A path from fields alone: `spec.os.name`.
    #[must_use]
    pub fn fields(dotted: &str) -> Self {
        Self::root().field(dotted)
    }

    /// One level down; `name` may hold several fields with dots between them.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        let mut steps = self.0.clone();
        steps.extend(name.split('.').map(|part| Step::Field(part.to_owned())));
        Self(steps)
    }

    /// One level down to a field whose name is taken as it is, dots included.
    #[must_use]
    pub fn field_named(&self, name: &str) -> Self {
        self.with(Step::Field(name.to_owned()))
    }

    /// The entry `index` of this list.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    /// The entry `key` of this map.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.with(Step::Key(key.to_owned()))
    }

    /// This path and one more step.
    #[must_use]
    pub fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// `rest` seen from here.
    #[must_use]
    pub fn join(&self, rest: &Self) -> Self {
        Self(self.0.iter().chain(&rest.0).cloned().collect())
    }

    /// One level up.
    #[must_use]
    pub fn parent(&self) -> Self {
        let mut steps = self.0.clone();
        steps.pop();
        Self(steps)
    }

    /// The steps, outermost first.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.0
    }
}

impl From<Vec<Step>> for Path {
    fn from(steps: Vec<Step>) -> Self {
        Self(steps)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return formatter.write_str("[]");
        }
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Field(name) if position == 0 => formatter.write_str(name)?,
                Step::Field(name) => write!(formatter, ".{name}")?,
                Step::Index(index) => write!(formatter, "[{index}]")?,
                Step::Key(key) => write!(formatter, "[{key}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_as_the_api_server_does() {
        let path = Path::fields("spec")
            .field("containers")
            .index(1)
            .field("resources.limits")
            .key("cpu");
        assert_eq!(path.to_string(), "spec.containers[1].resources.limits[cpu]");
        assert_eq!(Path::root().to_string(), "[]");
    }
}
