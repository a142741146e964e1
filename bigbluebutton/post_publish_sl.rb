#!/usr/bin/env ruby
# frozen_string_literal: true

# BigBlueButton runs this script each time it has published a format of a recording:
#
#   ruby post_publish_sl.rb -m RECORD-ID [-f FORMAT]
#
# It sends all formats of that recording published so far. If sending fails, the next `sl_batch_import.rb` sends
# them.

require 'optparse'
require File.join(File.dirname(File.realpath(__FILE__)), 'sl_recordings')

options = {}
OptionParser.new do |opts|
  opts.on('-m', '--meeting-id ID') { |id| options[:id] = id }
  opts.on('-f', '--format NAME') { |name| options[:format] = name }
end.parse!

begin
  abort 'post_publish_sl.rb: -m RECORD-ID is missing' unless options[:id]
  config = SlRecordings::Config.load
  config.become_owner
  log = config.logger
  # BigBlueButton's worker waits for this script, so give up after a few attempts; the next batch tries again.
  limit = config['url'] ? { attempts: [config.number('attempts').to_i, 3].min } : {}
  SlRecordings::Store.new(config, log: log).deliver(options[:id], finished: options[:format], **limit)
rescue SlRecordings::Error => e
  log&.error("sl: #{options[:id]} was not sent: #{e.message}")
  abort "post_publish_sl.rb: #{options[:id]} was not sent: #{e.message}"
end
