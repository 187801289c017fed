//! The tree of a template.

/// A statement, with the line of its tag.
#[derive(Debug)]
pub(super) struct Stmt {
    pub(super) line: usize,
    pub(super) kind: StmtKind,
}

#[derive(Debug)]
pub(super) enum StmtKind {
    Text(String),
    Output(Expr),
    /// Conditions with their bodies, then the body of `else`.
    If(Vec<(Expr, Vec<Stmt>)>, Vec<Stmt>),
    For(For),
    Set(Target, Expr),
    SetBlock(Target, Vec<Call>, Vec<Stmt>),
    Macro(Macro),
    /// `{% call(parameters) call %}body{% endcall %}`; the macro has no name.
    Call(Expr, Macro),
    Filter(Vec<Call>, Vec<Stmt>),
    /// `{% with %}` and `{% generation %}`: variables that are set inside end with it.
    With(Vec<(Target, Expr)>, Vec<Stmt>),
    Break,
    Continue,
}

#[derive(Debug)]
pub(super) struct For {
    pub(super) target: Target,
    pub(super) items: Expr,
    pub(super) condition: Option<Expr>,
    pub(super) recursive: bool,
    pub(super) body: Vec<Stmt>,
    pub(super) otherwise: Vec<Stmt>,
}

#[derive(Debug)]
pub(super) struct Macro {
    pub(super) name: String,
    /// Parameters with their defaults.
    pub(super) parameters: Vec<(String, Option<Expr>)>,
    pub(super) body: Vec<Stmt>,
}

/// What is assigned to.
#[derive(Debug)]
pub(super) enum Target {
    Name(String),
    Tuple(Vec<Target>),
    /// A field of a namespace.
    Field(String, String),
}

/// A filter, a test or a function with its arguments.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) arguments: Arguments,
}

/// Arguments of a call.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    pub(super) positional: Vec<Expr>,
    pub(super) named: Vec<(String, Expr)>,
    /// `*list`
    pub(super) list: Option<Box<Expr>>,
    /// `**dict`
    pub(super) dict: Option<Box<Expr>>,
}

#[derive(Debug)]
pub(super) enum Expr {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    Name(String),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    Attribute(Box<Expr>, String),
    Item(Box<Expr>, Box<Expr>),
    /// Start, stop and step.
    Slice(Box<Expr>, Box<[Option<Expr>; 3]>),
    Call(Box<Expr>, Arguments),
    Filter(Box<Expr>, Call),
    Test(Box<Expr>, Call),
    Not(Box<Expr>),
    Negative(Box<Expr>),
    Positive(Box<Expr>),
    And(Box<(Expr, Expr)>),
    Or(Box<(Expr, Expr)>),
    Arithmetic(Arithmetic, Box<(Expr, Expr)>),
    Concat(Vec<Expr>),
    Compare(Box<Expr>, Vec<(Comparison, Expr)>),
    /// Condition, then, else.
    Conditional(Box<(Expr, Expr, Option<Expr>)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Mod,
    Pow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    NotIn,
}

impl Expr {
    /// The expression as people write it, for errors.
    pub(super) fn described(&self) -> String {
        match self {
            Expr::Name(name) => name.clone(),
            Expr::Attribute(of, name) => format!("{}.{name}", of.described()),
            Expr::Item(of, key) => match &**key {
                Expr::Str(key) => format!("{}['{key}']", of.described()),
                Expr::Int(key) => format!("{}[{key}]", of.described()),
                _ => format!("{}[…]", of.described()),
            },
            Expr::Call(of, _) => format!("{}(…)", of.described()),
            Expr::Filter(of, call) => format!("{}|{}", of.described(), call.name),
            _ => "an expression".to_owned(),
        }
    }
}
