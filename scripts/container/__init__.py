"""Container images: what goes into them, the tools that build them, and how they come to a cluster.

for name, archive in archives(DIST).items(): import_archive(["ctr", "--address", socket], archive)
"""
