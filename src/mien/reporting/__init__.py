"""Plots, HTML pages, contact sheets and Markdown: the only room that draws charts or writes pages."""
