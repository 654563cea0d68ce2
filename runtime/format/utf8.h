/* SPDX-License-Identifier: MIT */
/* UTF-8, checked as RFC 3629 has it: no overlong forms, no surrogates, nothing past U+10FFFF. */
#ifndef WEIR_FORMAT_UTF8_H
#define WEIR_FORMAT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the character that s starts with (n > 0 of them are there); 0 where it is invalid or cut
 * off. */
size_t weir_utf8_decode(const char *s, size_t n, uint32_t *character);
/* Writes a character below 0x110000; returns its bytes. */
size_t weir_utf8_encode(uint32_t character, char out[4]);
/* Bytes of the run of valid characters, or (false) of bytes that are none, that s starts with; n >
 * 0. */
size_t weir_utf8_run(const char *s, size_t n, bool *valid);

/*
 * Bytes of the character at s, of which n >= 1 can be read; 0 if there is no valid one, or a
 * control character, which would do things to a terminal.
 */
size_t weir_utf8_printable(const char *s, size_t n);

/* Whether all of it is UTF-8 without control characters. */
bool weir_utf8_is_clean(const char *s, size_t n);

/*
 * Puts '?' for control characters and for what is not UTF-8, in a terminated text: for sentences that show a file's own words.
 */
void weir_utf8_clean(char *text);

#endif
