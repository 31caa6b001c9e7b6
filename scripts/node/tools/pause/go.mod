module hadal.invalid/scripts/node/tools/pause

go 1.26

tool hadal.invalid/scripts/node/tools/pause
