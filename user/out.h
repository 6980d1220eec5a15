/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What an operator reads: aligned tables, readable numbers, JSON documents. Whatever came from outside (names,
 * comments, paths) is escaped on its way out.
 */
#ifndef MXDP_OUT_H
#define MXDP_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <json-c/json.h>
#include "diag.h"

/* ---- tables: columns as wide as their widest cell, two spaces between ---- */

#define TABLE_COLUMNS 12

struct table {
	const char *head[TABLE_COLUMNS]; /* NULL ends; a head that begins with '>' is set to the right */
	char **cell;                     /* row by row */
	size_t n;
};

/* The next cell, row by row. */
void table_add(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints the heads and all rows, indented by `indent` spaces. An unfinished row is filled with empty cells. */
void table_print(struct table *t, unsigned int indent, FILE *to);
void table_free(struct table *t);
#define __cleanup_table __cleanup(table_free)

/* ---- words; each fills the buffer it is given and returns it ---- */

#define OUT_TEXT 32
const char *text_number(uint64_t n, char buf[OUT_TEXT]);   /* 12,345,678 */
const char *text_bytes(uint64_t n, char buf[OUT_TEXT]);    /* 512 B, 1.4 KiB */
const char *text_span(int64_t seconds, char buf[OUT_TEXT]); /* 12s, 3m05s, 2h10m, 5d03h */
const char *text_time(int64_t when, char buf[OUT_TEXT]);   /* local time, 2026-03-01 12:30:05; "-" for 0 */
/* `10 sentences`, `1 sentence` */
const char *text_plural(uint64_t n, const char *one, const char *many, char *buf, size_t room);

/* Prints s with control characters and bytes that are no UTF-8 as \xNN. */
void put_escaped(const char *s, FILE *to);

/* ---- JSON: one document, "schema": 1 ---- */

#define OUT_SCHEMA 1

json_object *json_document(void);
/* Adds to an object. A NULL string is null; bytes that are no UTF-8 become \xNN. */
void json_str(json_object *o, const char *key, const char *s);
void json_num(json_object *o, const char *key, uint64_t n);
void json_yes(json_object *o, const char *key, bool yes);
/* RFC 3339 in UTC; 0 is null. */
void json_time(json_object *o, const char *key, int64_t when);
/* Adds an empty object or array and returns it (it belongs to o). */
json_object *json_sub(json_object *o, const char *key);
json_object *json_list(json_object *o, const char *key);
/* Appends an empty object to an array and returns it. */
json_object *json_item(json_object *array);
void json_release(json_object **o);
#define __cleanup_json __cleanup(json_release)

/* Prints the document to `to`. */
void json_print(json_object *doc, FILE *to);
/*
 * Prints the document with one more member behind the others, an array of `n` objects. item() fills in the i-th, which is
 * printed and gone before the next is asked for: there may be a million.
 */
void json_print_list(json_object *doc, const char *key, size_t n, void (*item)(json_object *o, size_t i, void *arg), void *arg, FILE *to);

/* Flushes standard output; when that fails (disk full, closed), says so and returns EXIT_KERNEL instead of code. */
int out_done(int code);

#endif
