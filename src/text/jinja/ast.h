// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "text/jinja/operators.h"
#include "text/jinja/value.h"

namespace veloz::text::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct CallArguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> keyword;
  ExprPtr splat;          // *items, or null
  ExprPtr keyword_splat;  // **dict, or null
};

struct ConstantExpr {
  Value value;
};
struct NameExpr {
  std::string name;
};
struct ListExpr {
  SequenceKind kind;  // list or tuple
  std::vector<ExprPtr> items;
};
struct DictExpr {
  std::vector<std::pair<ExprPtr, ExprPtr>> pairs;
};
struct AttributeExpr {
  ExprPtr object;
  std::string name;
};
struct SubscriptExpr {
  ExprPtr object;
  ExprPtr index;
};
struct SliceExpr {
  ExprPtr object;
  ExprPtr start, stop, step;  // each may be null
};
struct CallExpr {
  ExprPtr callee;
  CallArguments arguments;
};
struct FilterExpr {
  ExprPtr input;  // null in a filter block: the text of the block
  std::string name;
  CallArguments arguments;
};
struct TestExpr {
  ExprPtr input;
  std::string name;
  CallArguments arguments;
};
struct UnaryExpr {
  UnaryOp op;
  ExprPtr operand;
};
struct BinaryExpr {
  BinaryOp op;
  ExprPtr left, right;
};
struct CompareExpr {
  ExprPtr first;
  std::vector<std::pair<CompareOp, ExprPtr>> rest;  // a < b < c
};
struct ConcatExpr {
  std::vector<ExprPtr> items;
};
struct ConditionExpr {
  ExprPtr test, then, otherwise;  // otherwise may be null
};

struct Expr {
  int line;
  int depth;  // of the tree below, bounded by the parser
  std::variant<ConstantExpr, NameExpr, ListExpr, DictExpr, AttributeExpr, SubscriptExpr, SliceExpr,
               CallExpr, FilterExpr, TestExpr, UnaryExpr, BinaryExpr, CompareExpr, ConcatExpr,
               ConditionExpr>
      node;
};

struct Stmt;
using Body = std::vector<Stmt>;

/// What `set` and `for` assign to: a name, `namespace.attribute`, or a tuple of targets.
struct Target {
  std::string name = {};
  std::optional<std::string> attribute = {};
  std::vector<Target> items = {};
  bool is_tuple = false;
};

struct Parameter {
  std::string name;
  ExprPtr default_value;  // or null
};

struct MacroDefinition {
  std::string name;
  std::vector<Parameter> parameters;
  Body body;
  bool uses_caller = false, uses_varargs = false, uses_kwargs = false;
};

struct TextStmt {
  Value text;
};
struct PrintStmt {
  ExprPtr value;
};
struct SetStmt {
  Target target;
  ExprPtr value;
};
struct SetBlockStmt {
  Target target;
  ExprPtr filter;  // or null
  Body body;
};
struct IfStmt {
  std::vector<std::pair<ExprPtr, Body>> branches;
  Body otherwise;
};
struct ForStmt {
  Target target;
  ExprPtr iterable;
  ExprPtr test;  // or null
  Body body;
  Body otherwise;
  bool has_else = false;
  bool is_recursive = false;
};
struct MacroStmt {
  MacroDefinition macro;
};
struct CallBlockStmt {
  ExprPtr call;  // a CallExpr
  MacroDefinition caller;
};
struct FilterBlockStmt {
  ExprPtr filter;
  Body body;
};
struct WithStmt {
  std::vector<std::pair<Target, ExprPtr>> assignments;
  Body body;
};
struct GenerationStmt {
  Body body;
};
struct BreakStmt {};
struct ContinueStmt {};

struct Stmt {
  int line;
  std::variant<TextStmt, PrintStmt, SetStmt, SetBlockStmt, IfStmt, ForStmt, MacroStmt,
               CallBlockStmt, FilterBlockStmt, WithStmt, GenerationStmt, BreakStmt, ContinueStmt>
      node;
};

}  // namespace veloz::text::jinja
