mod check;
mod corpus;
mod lexer;
mod parser;
mod printer;
mod random;
