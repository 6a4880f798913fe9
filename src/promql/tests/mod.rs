mod check;
mod corpus;
mod features;
mod lexer;
mod parser;
mod printer;
mod random;
