mod body;
mod results;
mod text;
