# SPDX-License-Identifier: GPL-3.0-or-later
"""A blind study of films: the page that people vote on, and the evaluation of their votes."""
